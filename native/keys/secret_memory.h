#ifndef NATIVE_KEYS_SECRET_MEMORY_H_
#define NATIVE_KEYS_SECRET_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>

namespace ticket_keys {

// The message of the JavaScript error.
constexpr char kOutOfSecretMemory[] = "the system has no memory for ticket keys";

// Separate pages for key bytes. They are locked against swapping, left out of core dumps, zeroed in
// a forked child, and cleansed before they are unmapped.
class SecretMemory final {
 public:
  // Returns nullptr if the system is out of memory.
  static std::unique_ptr<SecretMemory> Allocate(size_t size);
  ~SecretMemory();
  SecretMemory(const SecretMemory&) = delete;
  SecretMemory& operator=(const SecretMemory&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  // False if the system refused to lock the pages (RLIMIT_MEMLOCK). They work, but may
  // be swapped out.
  bool locked() const { return locked_; }
  // True in a forked child, where the pages read as zeros (MADV_WIPEONFORK). Zeros must not be used
  // as a key.
  bool wiped() const;

 private:
  SecretMemory(uint8_t* mapping, size_t mapped, size_t size);

  uint8_t* const mapping_;
  const size_t mapped_;
  uint8_t* const data_;
  const size_t size_;
  const bool locked_;
};

}  // namespace ticket_keys

#endif  // NATIVE_KEYS_SECRET_MEMORY_H_
