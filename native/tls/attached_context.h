#ifndef NATIVE_TLS_ATTACHED_CONTEXT_H_
#define NATIVE_TLS_ATTACHED_CONTEXT_H_

#include <openssl/ssl.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "keys/ticket_manager.h"

namespace ticket_keys {

using PolicyDigest = std::array<uint8_t, 16>;

// What is kept with a server's SSL_CTX: it is also the `arg` of SSL_CTX_set_session_ticket_cb. Only
// the thread that the SSL_CTX belongs to reads it; a change makes a new one, and connections under
// way keep theirs.
struct AttachedContext final : std::enable_shared_from_this<AttachedContext> {
  explicit AttachedContext(std::shared_ptr<TicketManager> given) : manager(std::move(given)) {}

  // `own` is the server's SSL_CTX, `before` what was attached to it, or nullptr, and `added` the
  // contexts given to addContext since.
  static std::shared_ptr<AttachedContext> Make(std::shared_ptr<TicketManager> manager,
                                               const SSL_CTX* own, const AttachedContext* before,
                                               const std::vector<SSL_CTX*>& added,
                                               const PolicyDigest& client_policy,
                                               bool trust_by_name);

  // Whether the context that a connection has is the server's own or one given to addContext.
  bool KnowsContextOf(SSL* ssl) const;

  const std::shared_ptr<TicketManager> manager;
  // What decides which client certificates are good, under which name. Made by
  // lib/tls/client-cert-policy.ts.
  PolicyDigest client_policy = {};
  // It is not the same under every name.
  bool trust_by_name = false;
  // Connections begun before this one of NextPolicyEpoch have seen another client policy.
  uintptr_t policy_since = 0;

 private:
  bool IsKnown(const SSL_CTX* ssl_ctx) const;

  // It holds this object, and lives as long.
  const SSL_CTX* own_ = nullptr;
  // Held, so that no context made later gets the address of one that is gone.
  std::vector<std::shared_ptr<SSL_CTX>> added_;
};

// Counts the changes of client policies on contexts that may have handshakes under way.
uintptr_t NextPolicyEpoch();
uintptr_t CurrentPolicyEpoch();

}  // namespace ticket_keys

#endif  // NATIVE_TLS_ATTACHED_CONTEXT_H_
