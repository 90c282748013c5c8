#ifndef NATIVE_TLS_SSL_STATE_H_
#define NATIVE_TLS_SSL_STATE_H_

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>

#include "tls/attached_context.h"

namespace ticket_keys {

// What the key callback found for the ticket that is being looked at.
enum class KeyMatch : uint8_t { kNotAsked, kUnknown, kExpired, kFound, kFailed };

// What is kept with an SSL from the first of our callbacks on.
struct Handshake final {
  explicit Handshake(std::shared_ptr<AttachedContext> given) : context(std::move(given)) {}

  const std::shared_ptr<AttachedContext> context;

  KeyMatch match = KeyMatch::kNotAsked;
  KeyName name = {};
  // A newer key than the ticket's is current.
  bool newer_key = false;
  // The client gets extended master secret. Noted while its hello is there:
  // SSL_get_extms_support knows nothing before the handshake is done, which is after a TLS 1.2
  // ticket was made.
  bool extended_master_secret = false;
  // No ticket may be made now: decided when its data are made, done when its key is asked for.
  bool suppress_ticket = false;

  // The ticket that is being resumed, where one is.
  bool accepted = false;
  double issued_at = 0;
  double authenticated_at = 0;

  // After a HelloRetryRequest OpenSSL shows every ticket again: how many were refused, and counted,
  // the first time.
  bool hello_seen = false;
  uint16_t share_group = 0;
  int refused_before = 0;
  int refused_now = 0;

  using InfoCallback = void (*)(const SSL* ssl, int where, int value);
  InfoCallback next_info_callback = nullptr;

  static Handshake* Find(const SSL* ssl);
  // The handshake of this SSL, made on the first call; `context` is what the callback knows to be
  // attached, or nullptr, for what is found at the SSL's context. nullptr if nothing is.
  static Handshake* Of(SSL* ssl, AttachedContext* context);

  // Calls Node.js's info callback through ours until the handshake is done, so that `Finishing` is
  // known while JavaScript hears of it.
  void WatchForEnd(SSL* ssl);
  // The resumed handshake whose 'secureConnection' event is being emitted on this thread, or
  // nullptr.
  static Handshake* Finishing();
};

// Makes the ex_data indices; once per process. False where OpenSSL has none left.
bool InitializeHandshakes();

// Remembers, on this thread, the SSL made between these two calls: the only way to a server's
// SSL_CTX without private pointers. Its context must be read after the maker returned: before,
// OpenSSL 3.5 has not set it.
void StartCapture();
SSL* EndCapture();

// Gives `context` to the SSL_CTX, which releases what it had.
bool SetAttached(SSL_CTX* ssl_ctx, std::shared_ptr<AttachedContext> context);
AttachedContext* GetAttached(const SSL_CTX* ssl_ctx);

}  // namespace ticket_keys

#endif  // NATIVE_TLS_SSL_STATE_H_
