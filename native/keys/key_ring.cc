#include "keys/key_ring.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace ticket_keys {
namespace {

constexpr uint16_t kEmpty = 0xFFFF;

size_t Hash(const uint8_t* name) {
  // The operator chooses the names, not an attacker. But names may be text that differs in one
  // digit, so mix all bytes.
  uint64_t halves[2];
  std::memcpy(halves, name, sizeof(halves));
  uint64_t hash = (halves[0] ^ (halves[1] * 0x9E3779B97F4A7C15ULL)) * 0xD6E8FEB86659FD93ULL;
  return static_cast<size_t>(hash >> 32);
}

}  // namespace

KeyRing::KeyRing(size_t keys, std::unique_ptr<SecretMemory> secrets)
    : secrets_(std::move(secrets)) {
  // `issuers_` points to elements of `keys_`, so `keys_` must not reallocate.
  keys_.reserve(keys);
  size_t slots = 4;
  while (slots < keys * 2) slots *= 2;
  table_.assign(slots, kEmpty);
}

void KeyRing::Add(const RingKey& key) {
  size_t slot = Hash(key.name.data()) & (table_.size() - 1);
  while (table_[slot] != kEmpty) slot = (slot + 1) & (table_.size() - 1);
  table_[slot] = static_cast<uint16_t>(keys_.size());
  keys_.push_back(key);
}

std::unique_ptr<KeyRing> KeyRing::Build(const std::vector<KeyInput>& inputs,
                                        const std::vector<KeyName>& expired,
                                        const KeyRing* previous, const char** problem) {
  size_t secret_bytes = 0;
  std::vector<KeyInput> keys = inputs;
  for (KeyInput& key : keys) {
    if (key.aes_key == nullptr) {
      const RingKey* held = previous == nullptr ? nullptr : previous->Find(key.name.data());
      if (held == nullptr || held->key_length == 0) {
        *problem = "a key without bytes is not in the ring";
        return nullptr;
      }
      key.aes_key = held->aes_key;
      key.hmac_key = held->hmac_key;
      key.key_length = held->key_length;
    }
    secret_bytes += 2 * key.key_length;
  }
  // A ring without bytes needs no memory, so that clearing a ring cannot fail.
  std::unique_ptr<SecretMemory> secrets;
  if (secret_bytes > 0) secrets = SecretMemory::Allocate(secret_bytes);
  if (secret_bytes > 0 && secrets == nullptr) {
    *problem = kOutOfSecretMemory;
    return nullptr;
  }
  uint8_t* free = secrets == nullptr ? nullptr : secrets->data();
  std::unique_ptr<KeyRing> ring(new KeyRing(keys.size() + expired.size(), std::move(secrets)));
  for (const KeyInput& key : keys) {
    uint8_t* aes_key = free;
    uint8_t* hmac_key = free + key.key_length;
    std::memcpy(aes_key, key.aes_key, key.key_length);
    std::memcpy(hmac_key, key.hmac_key, key.key_length);
    free += 2 * key.key_length;
    ring->Add({key.name, key.not_before, key.issue_until, key.accept_until, key.key_length, aes_key,
               hmac_key});
    if (key.issue_until > key.not_before) ring->issuers_.push_back(&ring->keys_.back());
  }
  for (const KeyName& name : expired) {
    if (ring->Find(name.data()) == nullptr) ring->Add({name, 0, 0, 0, 0, nullptr, nullptr});
  }
  std::stable_sort(
      ring->issuers_.begin(), ring->issuers_.end(),
      [](const RingKey* a, const RingKey* b) { return a->not_before < b->not_before; });
  return ring;
}

bool KeyRing::HasSameKeys(const KeyRing& other) const {
  size_t held = 0;
  for (const RingKey& key : other.keys_) held += key.key_length != 0 ? 1 : 0;
  // Keys with bytes come first in both.
  for (const RingKey& key : keys_) {
    if (key.key_length == 0) break;
    if (held == 0) return false;
    held--;
    const RingKey& twin = other.keys_[&key - keys_.data()];
    if (key.name != twin.name || key.not_before != twin.not_before ||
        key.issue_until != twin.issue_until || key.accept_until != twin.accept_until ||
        key.key_length != twin.key_length ||
        CRYPTO_memcmp(key.aes_key, twin.aes_key, key.key_length) != 0 ||
        CRYPTO_memcmp(key.hmac_key, twin.hmac_key, key.key_length) != 0) {
      return false;
    }
  }
  return held == 0;
}

const RingKey* KeyRing::Find(const uint8_t* name) const {
  for (size_t slot = Hash(name) & (table_.size() - 1); table_[slot] != kEmpty;
       slot = (slot + 1) & (table_.size() - 1)) {
    const RingKey& key = keys_[table_[slot]];
    if (std::memcmp(key.name.data(), name, kNameLength) == 0) {
      return key.key_length != 0 && wiped() ? nullptr : &key;
    }
  }
  return nullptr;
}

const RingKey* KeyRing::Current(double now) const {
  if (wiped()) return nullptr;
  auto begun =
      std::upper_bound(issuers_.begin(), issuers_.end(), now,
                       [](double moment, const RingKey* key) { return moment < key->not_before; });
  while (begun != issuers_.begin()) {
    const RingKey* key = *--begun;
    // A key that no longer accepts its own tickets must not issue them either.
    if (now < key->issue_until && now < key->accept_until) return key;
  }
  return nullptr;
}

}  // namespace ticket_keys
