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

// RFC 5077 section 4: the key name that stands in clear at the head of a ticket.
constexpr size_t kNameLength = 16;
using KeyName = std::array<uint8_t, kNameLength>;

// What a ring is made from. Times are milliseconds since 1970, infinities allowed.
struct KeyInput {
  KeyName name;
  double not_before;
  double issue_until;
  double accept_until;
  // 16 or 32 bytes each; nullptr: keep the bytes that the previous ring holds under this name.
  const uint8_t* aes_key;
  const uint8_t* hmac_key;
  size_t key_length;
};

struct RingKey {
  KeyName name;
  double not_before;
  double issue_until;
  double accept_until;
  // Bytes in each key_length: 16, 32, or 0 for a key that has expired and whose bytes are gone.
  size_t key_length;
  const uint8_t* aes_key;
  const uint8_t* hmac_key;
};

// The keys at one moment: built once, then only read. Its bytes are cleansed when it is released.
class KeyRing final {
 public:
  // `expired` are names whose tickets are refused as expired rather than unknown. Returns nullptr
  // and sets `missing` where a key without bytes is not in `previous`.
  static std::unique_ptr<KeyRing> Build(const std::vector<KeyInput>& keys,
                                        const std::vector<KeyName>& expired,
                                        const KeyRing* previous, KeyName* missing);

  const RingKey* Find(const uint8_t* name) const;
  // The key with the newest `not_before` that has begun and not passed `issue_until`.
  const RingKey* Current(double now) const;
  bool locked() const { return secrets_.locked(); }
  const std::vector<RingKey>& keys() const { return keys_; }

 private:
  KeyRing(size_t keys, size_t secret_bytes);
  void Add(const RingKey& key);

  SecretMemory secrets_;
  std::vector<RingKey> keys_;
  // Open addressing over the names, so that 256 keys cost what one does.
  std::vector<uint16_t> table_;
  // Keys that may issue, oldest `not_before` first.
  std::vector<const RingKey*> issuers_;
};

}  // namespace ticket_keys

#endif  // NATIVE_KEYS_KEY_RING_H_
