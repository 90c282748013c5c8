#ifndef NATIVE_TLS_ATTACHED_CONTEXT_H_
#define NATIVE_TLS_ATTACHED_CONTEXT_H_

#include <openssl/ssl.h>

#include <memory>
#include <utility>

#include "keys/ticket_manager.h"
#include "tls/client_policies.h"

namespace ticket_keys {

// What is kept with a server's SSL_CTX: it is also the `arg` of SSL_CTX_set_session_ticket_cb. Only
// the thread that the SSL_CTX belongs to uses it. Where a manager attaches again, connections under
// way keep what they began with.
struct AttachedContext final : std::enable_shared_from_this<AttachedContext> {
  AttachedContext(std::shared_ptr<TicketManager> given, const SSL_CTX* own,
                  const PolicyDigest& policy, bool sni_callback)
      : manager(std::move(given)), policies(own, policy), has_sni_callback(sni_callback) {}

  const std::shared_ptr<TicketManager> manager;
  ClientPolicies policies;
  // The server has an SNICallback. It is not called on resumption, and may answer anything.
  const bool has_sni_callback;
};

}  // namespace ticket_keys

#endif  // NATIVE_TLS_ATTACHED_CONTEXT_H_
