// Node.js uses the HMAC interface that OpenSSL 3 deprecates.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "bench/constructions.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <cstring>

namespace {

constexpr size_t kPart = 16;
constexpr size_t kKeyLength = 32;
constexpr size_t kPooledIvs = 256;

const unsigned char kKeys[80] = {1, 2, 3};
const unsigned char* const kName = kKeys;
const unsigned char* const kHmacKey = kKeys + kPart;
const unsigned char* const kAesKey = kKeys + kPart + kKeyLength;

int Accept(const SSL* ssl) { return SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1; }

// SecureContext::TicketCompatibilityCallback of Node.js, with its 16-byte keys.
int OnTicketKeyOfNode(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                      HMAC_CTX* hmac, int encrypt) {
  if (encrypt == 1) {
    std::memcpy(name, kName, kPart);
    const bool done =
        RAND_status() == 1 && RAND_bytes(iv, kPart) == 1 &&
        EVP_EncryptInit_ex(cipher, EVP_aes_128_cbc(), nullptr, kAesKey, iv) > 0 &&
        HMAC_Init_ex(hmac, kHmacKey, static_cast<int>(kPart), EVP_sha256(), nullptr) > 0;
    return done ? 1 : -1;
  }
  if (std::memcmp(name, kName, kPart) != 0) return 0;
  const bool done =
      EVP_DecryptInit_ex(cipher, EVP_aes_128_cbc(), nullptr, kAesKey, iv) > 0 &&
      HMAC_Init_ex(hmac, kHmacKey, static_cast<int>(kPart), EVP_sha256(), nullptr) > 0;
  return done ? Accept(ssl) : -1;
}

int OnTicketKeyOfFloor(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                       EVP_MAC_CTX* mac, int encrypt) {
  static EVP_CIPHER* const aes = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
  static unsigned char ivs[kPooledIvs][kPart];
  static size_t next_iv = kPooledIvs;
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                               OSSL_PARAM_construct_end()};
  if (encrypt == 1) {
    if (next_iv == kPooledIvs) {
      if (RAND_bytes(ivs[0], sizeof(ivs)) != 1) return -1;
      next_iv = 0;
    }
    std::memcpy(iv, ivs[next_iv++], kPart);
    std::memcpy(name, kName, kPart);
  }
  const bool done = EVP_CipherInit_ex2(cipher, aes, kAesKey, iv, encrypt, nullptr) == 1 &&
                    EVP_MAC_init(mac, kHmacKey, kKeyLength, params) == 1;
  if (!done) return -1;
  return encrypt == 1 ? 1 : Accept(ssl);
}

int GenerateNothing(SSL*, void*) { return 1; }

SSL_TICKET_RETURN TakeAll(SSL* ssl, SSL_SESSION* session, const unsigned char*, size_t,
                          SSL_TICKET_STATUS, void*) {
  if (session == nullptr) return SSL_TICKET_RETURN_IGNORE_RENEW;
  return Accept(ssl) == 2 ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}

}  // namespace

void UseNodeConstruction(SSL_CTX* context) {
  SSL_CTX_set_session_ticket_cb(context, nullptr, nullptr, nullptr);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, nullptr);
  SSL_CTX_set_tlsext_ticket_key_cb(context, OnTicketKeyOfNode);
}

void UseFloor(SSL_CTX* context) {
  SSL_CTX_set_session_ticket_cb(context, nullptr, nullptr, nullptr);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, OnTicketKeyOfFloor);
}

void UseNoPolicy(SSL_CTX* context) {
  SSL_CTX_set_session_ticket_cb(context, GenerateNothing, TakeAll, nullptr);
}
