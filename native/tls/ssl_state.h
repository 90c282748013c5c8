#ifndef NATIVE_TLS_SSL_STATE_H_
#define NATIVE_TLS_SSL_STATE_H_

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "tls/attached_context.h"

namespace ticket_keys {

// The key callback's result for the current ticket.
enum class KeyMatch : uint8_t { kNotAsked, kUnknown, kExpired, kFound, kFailed };

// What the application keeps with a connection's session. The Handshake and JavaScript's
// `tlsSession.data` share it.
class KeptData final {
 public:
  // Of a resumed session: `data` comes from the ticket.
  explicit KeptData(std::optional<SessionData> data) : state_(State::kKnown), data_(data) {}
  // Of a full handshake: asks the application when the data is first needed.
  explicit KeptData(SSL* ssl) : ssl_(ssl) {}

  // Asks the application, unless it was asked before. False if the application failed.
  bool Ask();
  const std::optional<SessionData>& data() const { return data_; }
  // The SSL is being freed: the application can no longer be asked.
  void Disconnect() { ssl_ = nullptr; }

 private:
  enum class State : uint8_t { kNotAsked, kKnown, kFailed };

  State state_ = State::kNotAsked;
  SSL* ssl_ = nullptr;
  std::optional<SessionData> data_;
};

// The state attached to an SSL. Our first callback for the SSL creates it.
struct Handshake final {
  explicit Handshake(std::shared_ptr<AttachedContext> given) : context(std::move(given)) {}
  ~Handshake();
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;

  const std::shared_ptr<AttachedContext> context;

  KeyMatch match = KeyMatch::kNotAsked;
  KeyName name = {};
  // The current key is newer than the ticket's key.
  bool newer_key = false;
  // The session has extended master secret. Recorded while the ClientHello can be
  // read. SSL_get_extms_support returns it only after the handshake, but a TLS 1.2
  // ticket is made earlier.
  bool extended_master_secret = false;
  // Issue no ticket. OpenSSL first asks for the ticket's data, and this is decided then. It asks
  // for the key later, and the ticket is suppressed then.
  bool suppress_ticket = false;

  // Whether a ticket was accepted, and what that ticket says.
  bool accepted = false;
  double issued_at = 0;
  double authenticated_at = 0;
  // Empty: the session was made without a server name.
  std::string server_name;
  std::optional<SessionData> ticket_data;

  // After a HelloRetryRequest, OpenSSL presents every ticket again. These fields keep a refused
  // ticket from being counted twice.
  bool hello_seen = false;
  uint16_t share_group = 0;
  int refused_before = 0;
  int refused_now = 0;

  // What the application keeps with the session. Created when first needed: the ticket decides
  // until the handshake is done. nullptr if there is nothing to keep.
  std::shared_ptr<KeptData> Kept(SSL* ssl);

  using InfoCallback = void (*)(const SSL* ssl, int where, int value);
  InfoCallback next_info_callback = nullptr;

  static Handshake* Find(const SSL* ssl);
  // Returns the handshake of this SSL. Creates it on the first call, with `context` or, if that is
  // nullptr, with the context attached to the SSL's SSL_CTX. Returns nullptr if none is attached.
  static Handshake* Of(SSL* ssl, AttachedContext* context);

  // Wraps Node.js's info callback until the handshake is done, so that `Finishing` works in
  // JavaScript listeners.
  void WatchForEnd(SSL* ssl);
  // The handshake whose 'secureConnection' event is being emitted on this thread, with its SSL.
  // Full handshakes are known only if the application keeps data with sessions. Otherwise nullptr.
  static Handshake* Finishing(SSL** ssl = nullptr);

 private:
  std::shared_ptr<KeptData> kept_;
};

// Creates the ex_data indices, once per process. False if OpenSSL has none left.
bool InitializeHandshakes();

// Captures the SSL that this thread creates between these two calls. Without private pointers,
// there is no other way to a server's SSL_CTX. Read the SSL's context only after the function that
// creates the SSL has returned: OpenSSL 3.5 sets it late.
void StartCapture();
SSL* EndCapture();

// Attaches `context` to the SSL_CTX, and releases the previously attached one.
bool SetAttached(SSL_CTX* ssl_ctx, std::shared_ptr<AttachedContext> context);
AttachedContext* GetAttached(const SSL_CTX* ssl_ctx);

}  // namespace ticket_keys

#endif  // NATIVE_TLS_SSL_STATE_H_
