#ifndef NATIVE_KEYS_KEY_RING_H_
#define NATIVE_KEYS_KEY_RING_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "keys/secret_memory.h"

namespace ticket_keys {

// RFC 5077 section 4: a ticket begins with the key name, in clear.
constexpr size_t kNameLength = 16;
using KeyName = std::array<uint8_t, kNameLength>;

// A key from which a ring is built. Times are in milliseconds since 1970 and may be infinite.
struct KeyInput {
  KeyName name;
  double not_before;
  double issue_until;
  double accept_until;
  // 16 or 32 bytes each. nullptr: use the bytes that the previous ring has under this name.
  const uint8_t* aes_key;
  const uint8_t* hmac_key;
  size_t key_length;
};

struct RingKey {
  KeyName name;
  double not_before;
  double issue_until;
  double accept_until;
  // Length of each key in bytes: 16 or 32. 0 for an expired key, whose bytes are erased.
  size_t key_length;
  const uint8_t* aes_key;
  const uint8_t* hmac_key;
};

// An immutable set of keys. The destructor cleanses their bytes.
class KeyRing final {
 public:
  // `expired` lists names whose tickets are refused as expired, not as unknown. If a key without
  // bytes is not in `previous`, or if memory is out, sets `problem` and returns nullptr.
  static std::unique_ptr<KeyRing> Build(const std::vector<KeyInput>& keys,
                                        const std::vector<KeyName>& expired,
                                        const KeyRing* previous, const char** problem);

  // True if both rings hold the same keys in the same order. Expired names do not count.
  bool HasSameKeys(const KeyRing& other) const;
  const RingKey* Find(const uint8_t* name) const;
  // The key that issues at `now`, or nullptr: of the keys with not_before <= now < issue_until, the
  // one with the newest `not_before`.
  const RingKey* Current(double now) const;
  bool locked() const { return secrets_ == nullptr || secrets_->locked(); }
  const std::vector<RingKey>& keys() const { return keys_; }

 private:
  bool wiped() const { return secrets_ != nullptr && secrets_->wiped(); }
  KeyRing(size_t keys, std::unique_ptr<SecretMemory> secrets);
  void Add(const RingKey& key);

  const std::unique_ptr<SecretMemory> secrets_;
  std::vector<RingKey> keys_;
  // A hash table over the names (open addressing): 256 keys are found as fast as one.
  std::vector<uint16_t> table_;
  // Keys that may issue, in ascending order of `not_before`.
  std::vector<const RingKey*> issuers_;
};

}  // namespace ticket_keys

#endif  // NATIVE_KEYS_KEY_RING_H_
