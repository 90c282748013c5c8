#include "keys/secret_memory.h"

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace ticket_keys {
namespace {

// The first bytes of each mapping hold this, so that a wiped page can be told from a live one.
constexpr size_t kHeader = 16;
constexpr uint8_t kAlive = 0xA5;

}  // namespace

SecretMemory::SecretMemory(size_t size) : size_(size) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  mapped_ = (kHeader + size + page - 1) / page * page;
  void* mapping =
      mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) {
    // Out of address space: as for any failed allocation there is nothing sensible left to do.
    std::perror("fastify-ticket-keys: mmap");
    std::abort();
  }
  mapping_ = static_cast<uint8_t*>(mapping);
  locked_ = mlock(mapping, mapped_) == 0;
#ifdef MADV_DONTDUMP
  madvise(mapping, mapped_, MADV_DONTDUMP);
#endif
#ifdef MADV_WIPEONFORK
  madvise(mapping, mapped_, MADV_WIPEONFORK);
#endif
  mapping_[0] = kAlive;
  data_ = mapping_ + kHeader;
}

SecretMemory::~SecretMemory() {
  OPENSSL_cleanse(mapping_, mapped_);
  munmap(mapping_, mapped_);
}

bool SecretMemory::wiped() const { return mapping_[0] != kAlive; }

}  // namespace ticket_keys
