#ifndef NATIVE_BINDING_CRYPTO_H_
#define NATIVE_BINDING_CRYPTO_H_

#include <napi.h>

namespace ticket_keys {

// These functions exist because node:crypto leaves copies of secrets in ordinary memory. Every
// argument is a Buffer, and the result is written to the last one.

// hkdf(secret, salt, label, out): HKDF-SHA256 (RFC 5869). Returns false if OpenSSL fails.
Napi::Value Hkdf(const Napi::CallbackInfo& info);

// seal(key, iv, associated, plain, out): AES-256-GCM. `out` is 16 bytes longer than `plain` and
// ends with the tag. Returns false if OpenSSL fails.
Napi::Value Seal(const Napi::CallbackInfo& info);

// open(key, iv, associated, sealed, out): decrypts the output of `seal`. Returns false and zeroes
// `out` if the key or any byte differs from what was sealed.
Napi::Value Open(const Napi::CallbackInfo& info);

}  // namespace ticket_keys

#endif  // NATIVE_BINDING_CRYPTO_H_
