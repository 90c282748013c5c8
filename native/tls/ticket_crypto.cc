#include "tls/ticket_crypto.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>

namespace ticket_keys {
namespace {

constexpr int kIvLength = 16;

// Fetched once per process: a fetch costs more than the encryption of a
// ticket (crypto(7), performance).
const EVP_CIPHER* Cipher(size_t key_length) {
  static EVP_CIPHER* const aes128 = EVP_CIPHER_fetch(nullptr, "AES-128-CBC", nullptr);
  static EVP_CIPHER* const aes256 = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
  return key_length == 16 ? aes128 : aes256;
}

bool Initialize(Direction direction, const uint8_t* aes_key, size_t aes_length,
                const uint8_t* hmac_key, size_t hmac_length, uint8_t* iv, EVP_CIPHER_CTX* cipher,
                EVP_MAC_CTX* mac) {
  const bool encrypt = direction == Direction::kEncrypt;
  const EVP_CIPHER* aes = Cipher(aes_length);
  if (aes == nullptr || (encrypt && RAND_bytes(iv, kIvLength) != 1)) return false;
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                               OSSL_PARAM_construct_end()};
  return EVP_CipherInit_ex2(cipher, aes, aes_key, iv, encrypt ? 1 : 0, nullptr) == 1 &&
         EVP_MAC_init(mac, hmac_key, hmac_length, params) == 1;
}

}  // namespace

bool InitTicketCipher(Direction direction, const uint8_t* aes_key, size_t aes_length,
                      const uint8_t* hmac_key, size_t hmac_length, uint8_t* iv,
                      EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) {
  ERR_set_mark();
  const bool done =
      Initialize(direction, aes_key, aes_length, hmac_key, hmac_length, iv, cipher, mac);
  ERR_pop_to_mark();
  return done;
}

}  // namespace ticket_keys
