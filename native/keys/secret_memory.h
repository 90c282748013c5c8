#ifndef NATIVE_KEYS_SECRET_MEMORY_H_
#define NATIVE_KEYS_SECRET_MEMORY_H_

#include <cstddef>
#include <cstdint>

namespace ticket_keys {

// Pages of their own for key bytes: locked against swap, left out of core dumps, zeroed in a forked
// child, and cleansed before they are given back.
class SecretMemory final {
 public:
  explicit SecretMemory(size_t size);
  ~SecretMemory();
  SecretMemory(const SecretMemory&) = delete;
  SecretMemory& operator=(const SecretMemory&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  // False where the system refused to lock the pages (RLIMIT_MEMLOCK): they work, but may be
  // swapped.
  bool locked() const { return locked_; }
  // True in a child that was forked: the pages read as zeros there (MADV_WIPEONFORK), and zeros are
  // not a key.
  bool wiped() const;

 private:
  uint8_t* mapping_ = nullptr;
  size_t mapped_ = 0;
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  bool locked_ = false;
};

}  // namespace ticket_keys

#endif  // NATIVE_KEYS_SECRET_MEMORY_H_
