#ifndef NATIVE_TLS_ATTACHED_CONTEXT_H_
#define NATIVE_TLS_ATTACHED_CONTEXT_H_

#include <openssl/ssl.h>

#include <memory>
#include <utility>

#include "keys/ticket_manager.h"
#include "tls/client_policies.h"

namespace ticket_keys {

// The state attached to a server's SSL_CTX, and the `arg` of SSL_CTX_set_session_ticket_cb. Only
// the thread that owns the SSL_CTX uses it. When a manager attaches again, open connections keep
// the state that they began with.
struct AttachedContext final : std::enable_shared_from_this<AttachedContext> {
  AttachedContext(std::shared_ptr<TicketManager> given, const SSL_CTX* own,
                  const PolicyDigest& policy, bool sni_callback)
      : manager(std::move(given)), policies(own, policy), has_sni_callback(sni_callback) {}

  const std::shared_ptr<TicketManager> manager;
  ClientPolicies policies;
  // The server has an SNICallback. Node.js does not call it on resumption, so its answer
  // is unknown then.
  const bool has_sni_callback;
};

}  // namespace ticket_keys

#endif  // NATIVE_TLS_ATTACHED_CONTEXT_H_
