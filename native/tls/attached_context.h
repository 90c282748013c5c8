#ifndef NATIVE_TLS_ATTACHED_CONTEXT_H_
#define NATIVE_TLS_ATTACHED_CONTEXT_H_

#include <openssl/ssl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "keys/ticket_manager.h"
#include "tls/client_policies.h"
#include "tls/ticket_data.h"

namespace ticket_keys {

// Asks the application what it keeps with the session of a full handshake. Returns false if the
// application failed: the session then gets no ticket.
using AskSessionData = std::function<bool(SSL* ssl, std::optional<SessionData>* data)>;

// What the manager needs to know about a server.
struct ServerSettings final {
  // The client-certificate policy of the server's own context.
  PolicyDigest policy;
  bool has_sni_callback;
  // The session ID context that the server's owner has set. Empty: none.
  std::vector<uint8_t> session_id_context;
  // The limit that the server's owner has set (`sessionTimeout`), in milliseconds. May be infinite.
  double session_timeout;
  // Empty: the application keeps nothing with a session.
  AskSessionData ask_session_data;
};

// The state attached to a server's SSL_CTX, and the `arg` of SSL_CTX_set_session_ticket_cb. Only
// the thread that owns the SSL_CTX uses it. When a manager attaches again, open connections keep
// the state that they began with.
struct AttachedContext final : std::enable_shared_from_this<AttachedContext> {
  AttachedContext(std::shared_ptr<TicketManager> given, const SSL_CTX* own,
                  const ServerSettings& server);

  const std::shared_ptr<TicketManager> manager;
  ClientPolicies policies;
  // The server has an SNICallback. Node.js does not call it on resumption, so its answer
  // is unknown then.
  const bool has_sni_callback;
  // Servers resume each other's sessions only if this value is equal. 32 bytes; empty if OpenSSL
  // was out of memory.
  const std::vector<uint8_t> session_id_context;
  // The shorter of the manager's limit and the server's own, in milliseconds.
  const double ticket_lifetime;
  const AskSessionData ask_session_data;
};

}  // namespace ticket_keys

#endif  // NATIVE_TLS_ATTACHED_CONTEXT_H_
