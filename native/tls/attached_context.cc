#include "tls/attached_context.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace ticket_keys {
namespace {

std::atomic<uintptr_t> policy_epoch{0};

// Without a HelloRetryRequest Node.js does not change the SSL_CTX of an SSL for a context that was
// chosen by name, but gives the SSL what that context has: verify store, certificate and key.
bool HasContentsOf(SSL* ssl, const X509_STORE* store, const SSL_CTX* ssl_ctx) {
  return SSL_CTX_get_cert_store(ssl_ctx) == store &&
         SSL_CTX_get0_certificate(ssl_ctx) == SSL_get_certificate(ssl);
}

}  // namespace

uintptr_t NextPolicyEpoch() { return policy_epoch.fetch_add(1) + 1; }

uintptr_t CurrentPolicyEpoch() { return policy_epoch.load(std::memory_order_relaxed); }

std::shared_ptr<AttachedContext> AttachedContext::Make(
    std::shared_ptr<TicketManager> manager, const SSL_CTX* own, const AttachedContext* before,
    const std::vector<SSL_CTX*>& added, const PolicyDigest& client_policy, bool trust_by_name) {
  auto made = std::make_shared<AttachedContext>(std::move(manager));
  made->client_policy = client_policy;
  made->trust_by_name = trust_by_name;
  made->own_ = own;
  if (before != nullptr) {
    made->policy_since =
        before->client_policy == client_policy ? before->policy_since : NextPolicyEpoch();
    made->added_ = before->added_;
  }
  for (SSL_CTX* context : added) {
    if (made->IsKnown(context) || SSL_CTX_up_ref(context) != 1) continue;
    made->added_.emplace_back(context, SSL_CTX_free);
  }
  return made;
}

bool AttachedContext::IsKnown(const SSL_CTX* ssl_ctx) const {
  return ssl_ctx == own_ || std::any_of(added_.begin(), added_.end(), [ssl_ctx](const auto& added) {
           return added.get() == ssl_ctx;
         });
}

bool AttachedContext::KnowsContextOf(SSL* ssl) const {
  if (!IsKnown(SSL_get_SSL_CTX(ssl))) return false;
  X509_STORE* store = nullptr;
  if (SSL_get0_verify_cert_store(ssl, &store) != 1) return false;
  if (store == nullptr) return true;
  return HasContentsOf(ssl, store, own_) ||
         std::any_of(added_.begin(), added_.end(), [ssl, store](const auto& added) {
           return HasContentsOf(ssl, store, added.get());
         });
}

}  // namespace ticket_keys
