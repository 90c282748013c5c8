#include "tls/client_trust.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <ctime>
#include <set>
#include <vector>

namespace ticket_keys {
namespace {

// The store flags that Node.js options set: `crl`, `allowPartialTrustChain`.
constexpr unsigned long kStoreFlags =  // NOLINT(runtime/int): OpenSSL's type
    X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL | X509_V_FLAG_PARTIAL_CHAIN;

// Locks a store. All contexts without a `ca` option share one store, in all threads.
class Lock final {
 public:
  explicit Lock(X509_STORE* store) : store_(store) { X509_STORE_lock(store_); }
  ~Lock() { X509_STORE_unlock(store_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  X509_STORE* store_;
};

unsigned long FlagsOf(X509_STORE* store) {  // NOLINT(runtime/int)
  return X509_VERIFY_PARAM_get_flags(X509_STORE_get0_param(store)) & kStoreFlags;
}

bool Digest(const std::vector<uint8_t>& bytes, TrustDigest* digest) {
  unsigned int length = 0;
  return EVP_Digest(bytes.data(), bytes.size(), digest->data(), &length, EVP_sha256(), nullptr) ==
         1;
}

// Encodes a certificate with its trusted uses, or a revocation list, as DER. Empty on failure.
std::vector<uint8_t> Encode(const X509_OBJECT* object) {
  uint8_t* der = nullptr;
  int length = 0;
  if (X509* certificate = X509_OBJECT_get0_X509(object); certificate != nullptr) {
    length = i2d_X509_AUX(certificate, &der);
  } else if (X509_CRL* crl = X509_OBJECT_get0_X509_CRL(object); crl != nullptr) {
    length = i2d_X509_CRL(crl, &der);
  }
  if (length <= 0) return {};
  std::vector<uint8_t> bytes(der, der + length);
  OPENSSL_free(der);
  return bytes;
}

using Contents = std::set<TrustDigest>;

bool ReadContents(X509_STORE* store, Contents* contents) {
  const Lock lock(store);
  const STACK_OF(X509_OBJECT)* objects = X509_STORE_get0_objects(store);
  for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
    const std::vector<uint8_t> bytes = Encode(sk_X509_OBJECT_value(objects, i));
    TrustDigest digest;
    if (bytes.empty() || !Digest(bytes, &digest)) return false;
    contents->insert(digest);
  }
  return true;
}

bool HasAll(const Contents& own, const Contents& bundled) {
  return !bundled.empty() && std::includes(own.begin(), own.end(), bundled.begin(), bundled.end());
}

// A random value that is the same in all threads of this process.
const TrustDigest& ProcessId() {
  static const TrustDigest id = [] {
    TrustDigest random = {};
    // OpenSSL cannot make a handshake if this fails.
    RAND_bytes(random.data(), static_cast<int>(random.size()));
    return random;
  }();
  return id;
}

std::optional<TrustDigest> DigestStore(X509_STORE* store, const Contents& bundled, bool unlisted) {
  Contents own;
  if (!ReadContents(store, &own)) return std::nullopt;
  // Without a `ca` option, Node.js adds revocation lists, PKCS #12 files and NODE_EXTRA_CA_CERTS to
  // the bundled certificates.
  const bool has_bundled = HasAll(own, bundled);
  if (has_bundled) {
    for (const TrustDigest& root : bundled) own.erase(root);
  }
  if (unlisted) own.insert(ProcessId());
  std::vector<uint8_t> record = {static_cast<uint8_t>(has_bundled ? 1 : 0)};
  const auto flags = FlagsOf(store);
  for (int shift = 24; shift >= 0; shift -= 8) {
    record.push_back(static_cast<uint8_t>(flags >> shift));
  }
  for (const TrustDigest& digest : own) record.insert(record.end(), digest.begin(), digest.end());
  TrustDigest digest;
  if (!Digest(record, &digest)) return std::nullopt;
  return digest;
}

// Milliseconds since 1970, or 0 for a time that cannot be read.
uint64_t Milliseconds(const ASN1_TIME* time) {
  std::tm broken_down = {};
  if (ASN1_TIME_to_tm(time, &broken_down) != 1) return 0;
  const std::time_t seconds = timegm(&broken_down);
  return seconds < 0 ? 0 : static_cast<uint64_t>(seconds) * 1000;
}

bool IssuedByOneOf(X509_CRL* crl, const STACK_OF(X509) * issued) {
  for (int i = 0; i < sk_X509_num(issued); i++) {
    const X509_NAME* issuer = X509_get_issuer_name(sk_X509_value(issued, i));
    if (X509_NAME_cmp(X509_CRL_get_issuer(crl), issuer) == 0) return true;
  }
  return false;
}

// The earliest nextUpdate of the revocation lists for a chain. Ignores CRLs past nextUpdate:
// verification cannot have relied on them.
uint64_t EndOfRevocationLists(SSL* ssl, const STACK_OF(X509) * chain) {
  X509_STORE* store = nullptr;
  // With SNI, Node.js gives the SSL the verify store of the chosen context.
  if (SSL_get0_verify_cert_store(ssl, &store) != 1 || store == nullptr) {
    store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
  }
  uint64_t end = UINT64_MAX;
  if ((FlagsOf(store) & X509_V_FLAG_CRL_CHECK) == 0) return end;
  const uint64_t now = static_cast<uint64_t>(std::time(nullptr)) * 1000;
  const Lock lock(store);
  const STACK_OF(X509_OBJECT)* objects = X509_STORE_get0_objects(store);
  for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
    X509_CRL* crl = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(objects, i));
    const ASN1_TIME* next = crl == nullptr ? nullptr : X509_CRL_get0_nextUpdate(crl);
    if (next == nullptr || !IssuedByOneOf(crl, chain)) continue;
    const uint64_t moment = Milliseconds(next);
    if (moment > now) end = std::min(end, moment);
  }
  return end;
}

int KeyBits(X509* certificate) {
  EVP_PKEY* key = X509_get0_pubkey(certificate);
  return key == nullptr ? 0 : EVP_PKEY_get_security_bits(key);
}

int SignatureBits(X509* certificate) {
  int bits = 0;
  return X509_get_signature_info(certificate, nullptr, nullptr, &bits, nullptr) == 1 ? bits : 0;
}

}  // namespace

std::optional<TrustDigest> DigestTrust(const SSL_CTX* ssl_ctx, const std::set<TrustDigest>& bundled,
                                       bool unlisted) {
  ERR_set_mark();
  const auto digest = DigestStore(SSL_CTX_get_cert_store(ssl_ctx), bundled, unlisted);
  ERR_pop_to_mark();
  return digest;
}

bool HasBundledRoots(const SSL_CTX* ssl_ctx, const std::set<TrustDigest>& bundled) {
  ERR_set_mark();
  Contents own;
  const bool has = ReadContents(SSL_CTX_get_cert_store(ssl_ctx), &own) && HasAll(own, bundled);
  ERR_pop_to_mark();
  return has;
}

VerifiedChain DescribeVerifiedChain(SSL* ssl) {
  VerifiedChain described;
  switch (SSL_get_verify_result(ssl)) {
    case X509_V_OK:
      break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CRL_NOT_YET_VALID:
      // The chain may verify later, so a session must not preserve this failure.
      described.end = 0;
      return described;
    default:
      return described;
  }
  STACK_OF(X509)* chain = SSL_get0_verified_chain(ssl);
  const int count = chain == nullptr ? 0 : sk_X509_num(chain);
  if (count == 0) described.end = 0;
  ERR_set_mark();
  int strength = UINT8_MAX;
  for (int i = 0; i < count; i++) {
    X509* certificate = sk_X509_value(chain, i);
    described.end = std::min(described.end, Milliseconds(X509_get0_notAfter(certificate)));
    strength = std::min(strength, KeyBits(certificate));
    // The last certificate is the trust anchor. Its signature is not verified.
    if (i < count - 1) strength = std::min(strength, SignatureBits(certificate));
  }
  described.strength = static_cast<uint8_t>(std::max(strength, 0));
  if (count > 0) described.end = std::min(described.end, EndOfRevocationLists(ssl, chain));
  ERR_pop_to_mark();
  return described;
}

uint8_t SecurityBits(int level) {
  constexpr std::array<uint8_t, 6> kBits = {0, 80, 112, 128, 192, UINT8_MAX};
  return kBits[static_cast<size_t>(std::clamp(level, 0, 5))];
}

}  // namespace ticket_keys
