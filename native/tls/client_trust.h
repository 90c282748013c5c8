#ifndef NATIVE_TLS_CLIENT_TRUST_H_
#define NATIVE_TLS_CLIENT_TRUST_H_

#include <openssl/ssl.h>

#include <array>
#include <cstdint>
#include <optional>
#include <set>

namespace ticket_keys {

using TrustDigest = std::array<uint8_t, 32>;

// A digest of the CAs, the revocation lists and the flags by which a context verifies client
// certificates. `bundled` are the digests of the CA certificates that come with this Node.js. They
// differ between versions, so the result records only whether the context has all of them, and
// everything else that the context has. Returns nothing if OpenSSL is out of memory.
//
// OpenSSL's own CA store reads certificates from a directory when they are needed, so it cannot be
// listed. `unlisted` says that the context may have this store: the digest is then valid in this
// process only.
std::optional<TrustDigest> DigestTrust(const SSL_CTX* ssl_ctx, const std::set<TrustDigest>& bundled,
                                       bool unlisted);

// Whether a context has all `bundled` certificates. False on failure.
bool HasBundledRoots(const SSL_CTX* ssl_ctx, const std::set<TrustDigest>& bundled);

// The facts about a client's verified chain that a ticket carries.
struct VerifiedChain final {
  // When the chain is no longer accepted, in milliseconds since 1970: the earliest end of a
  // certificate, or of a revocation list that was used. UINT64_MAX: never.
  uint64_t end = UINT64_MAX;
  // Security bits of the weakest key or signature. At most 255.
  uint8_t strength = UINT8_MAX;
};

// Describes the chain of the full handshake that is finishing. A chain that failed permanently gets
// no end: the resumed session reports the same failure.
VerifiedChain DescribeVerifiedChain(SSL* ssl);

// The security bits that a security level requires of certificates (SSL_CTX_set_security_level(3)).
uint8_t SecurityBits(int level);

}  // namespace ticket_keys

#endif  // NATIVE_TLS_CLIENT_TRUST_H_
