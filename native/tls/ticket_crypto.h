#ifndef NATIVE_TLS_TICKET_CRYPTO_H_
#define NATIVE_TLS_TICKET_CRYPTO_H_

#include <openssl/evp.h>

#include <cstddef>
#include <cstdint>

namespace ticket_keys {

enum class Direction { kEncrypt, kDecrypt };

// Initializes the contexts that OpenSSL passes to the callback of
// SSL_CTX_set_tlsext_ticket_key_evp_cb: AES-CBC with 16 or 32 bytes, and HMAC-SHA256 (RFC 5077
// section 4). The callback has no parameter for the tag of an AEAD. kEncrypt fills `iv` with 16
// random bytes. Does not change OpenSSL's error queue. Returns false on failure.
bool InitTicketCipher(Direction direction, const uint8_t* aes_key, size_t aes_length,
                      const uint8_t* hmac_key, size_t hmac_length, uint8_t* iv,
                      EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac);

}  // namespace ticket_keys

#endif  // NATIVE_TLS_TICKET_CRYPTO_H_
