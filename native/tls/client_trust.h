#ifndef NATIVE_TLS_CLIENT_TRUST_H_
#define NATIVE_TLS_CLIENT_TRUST_H_

#include <openssl/ssl.h>

#include <array>
#include <cstdint>
#include <optional>

namespace ticket_keys {

using TrustDigest = std::array<uint8_t, 32>;

// A digest of what a context takes client certificates by: CAs, revocation lists, and how they are
// looked at. `roots` is a context without a `ca` of its own: what all such hold differs between
// Node.js versions and is left out, as one constant. Nothing where OpenSSL is out of memory.
std::optional<TrustDigest> DigestTrust(const SSL_CTX* ssl_ctx, const SSL_CTX* roots);

// What a later handshake has to know of the certificates that the client was verified by.
struct VerifiedChain final {
  // From when on they would no longer be accepted, in milliseconds since 1970: the earliest end
  // of a certificate, or of the revocation lists that were asked. UINT64_MAX: never.
  uint64_t end = UINT64_MAX;
  // Security bits of the weakest key or signature, at most 255.
  uint8_t strength = UINT8_MAX;
};

// Of the full handshake that is being finished. A chain that was refused for good has nothing to
// lose: it resumes with the same failure.
VerifiedChain DescribeVerifiedChain(SSL* ssl);

// The security bits that certificates need at a level (SSL_CTX_set_security_level(3)).
uint8_t SecurityBits(int level);

}  // namespace ticket_keys

#endif  // NATIVE_TLS_CLIENT_TRUST_H_
