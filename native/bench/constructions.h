#ifndef NATIVE_BENCH_CONSTRUCTIONS_H_
#define NATIVE_BENCH_CONSTRUCTIONS_H_

#include <openssl/ssl.h>

// Other ways to encrypt tickets, to compare the addon's with. Each replaces the callbacks of
// `context`. Each renews TLS 1.3 tickets only, as the addon does while the current key does not
// change. None uses application data.

// What Node.js does for its single key: the callback with HMAC_CTX, algorithms by their implicit
// names, random bytes for each IV.
void UseNodeConstruction(SSL_CTX* context);

// The least that a callback has to do: AES-CBC, HMAC and an IV, with everything fetched beforehand.
// There is no key to look up.
void UseFloor(SSL_CTX* context);

// The addon's key callback without its policy. Every ticket that decrypts is accepted.
void UseNoPolicy(SSL_CTX* context);

#endif  // NATIVE_BENCH_CONSTRUCTIONS_H_
