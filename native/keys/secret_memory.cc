#include "keys/secret_memory.h"

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <unistd.h>

namespace ticket_keys {
namespace {

// Each mapping begins with a header that contains kAlive. A page that fork() wiped does
// not contain it.
constexpr size_t kHeader = 16;
constexpr uint8_t kAlive = 0xA5;

}  // namespace

std::unique_ptr<SecretMemory> SecretMemory::Allocate(size_t size) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t mapped = (kHeader + size + page - 1) / page * page;
  void* mapping = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return nullptr;
  return std::unique_ptr<SecretMemory>(
      new SecretMemory(static_cast<uint8_t*>(mapping), mapped, size));
}

SecretMemory::SecretMemory(uint8_t* mapping, size_t mapped, size_t size)
    : mapping_(mapping),
      mapped_(mapped),
      data_(mapping + kHeader),
      size_(size),
      locked_(mlock(mapping, mapped) == 0) {
#ifdef MADV_DONTDUMP
  madvise(mapping, mapped, MADV_DONTDUMP);
#endif
#ifdef MADV_WIPEONFORK
  madvise(mapping, mapped, MADV_WIPEONFORK);
#endif
  mapping_[0] = kAlive;
}

SecretMemory::~SecretMemory() {
  OPENSSL_cleanse(mapping_, mapped_);
  munmap(mapping_, mapped_);
}

bool SecretMemory::wiped() const { return mapping_[0] != kAlive; }

}  // namespace ticket_keys
