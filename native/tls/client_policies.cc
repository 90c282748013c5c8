#include "tls/client_policies.h"

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

namespace ticket_keys {
namespace {

// Whether the first label of a pattern is `*`, and no other label has a star.
bool IsSimpleWildcard(std::string_view pattern) {
  return pattern.substr(0, 2) == "*." && pattern.find('*', 1) == std::string_view::npos;
}

// Whether `name` matches a pattern, in which `*` stands for any characters but dots.
bool Matches(std::string_view pattern, std::string_view name) {
  // Where to go on if what follows the last star does not match.
  size_t after_star = std::string_view::npos;
  size_t retry = 0;
  size_t p = 0;
  size_t n = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      after_star = ++p;
      retry = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      p++;
      n++;
    } else if (after_star != std::string_view::npos && name[retry] != '.') {
      p = after_star;
      n = ++retry;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') p++;
  return p == pattern.size();
}

}  // namespace

ClientPolicies::ClientPolicies(const SSL_CTX* own, const PolicyDigest& policy) : own_(policy) {
  Remember(own, policy);
}

void ClientPolicies::Add(const std::string& pattern, const SSL_CTX* context,
                         const PolicyDigest& policy) {
  const Entry entry = {count_++, policy};
  if (pattern.find('*') == std::string::npos || IsSimpleWildcard(pattern)) {
    exact_[pattern] = entry;
  } else {
    patterns_.emplace_back(pattern, entry);
  }
  if (policy != own_) by_name_ = true;
  Remember(context, policy);
}

const ClientPolicies::Entry* ClientPolicies::FindExact(const std::string& pattern) const {
  const auto found = exact_.find(pattern);
  return found == exact_.end() ? nullptr : &found->second;
}

const PolicyDigest& ClientPolicies::Of(std::string_view name) const {
  if (name.empty()) return own_;
  const Entry* last = FindExact(std::string(name));
  const size_t dot = name.find('.');
  if (dot != std::string_view::npos) {
    const Entry* wildcard = FindExact("*" + std::string(name.substr(dot)));
    if (wildcard != nullptr && (last == nullptr || wildcard->position > last->position)) {
      last = wildcard;
    }
  }
  for (auto other = patterns_.rbegin(); other != patterns_.rend(); ++other) {
    if (last != nullptr && last->position > other->second.position) break;
    if (Matches(other->first, name)) return other->second.policy;
  }
  return last == nullptr ? own_ : last->policy;
}

const PolicyDigest* ClientPolicies::OfContext(SSL* ssl) const {
  const SSL_CTX* context = SSL_get_SSL_CTX(ssl);
  X509_STORE* store = nullptr;
  if (SSL_get0_verify_cert_store(ssl, &store) != 1) return nullptr;
  // Without a HelloRetryRequest Node.js does not change the SSL_CTX of an SSL for the context that
  // it picked by name: it gives the SSL what that context has.
  const auto found = contents_.find(store == nullptr ? Contents(SSL_CTX_get_cert_store(context),
                                                                SSL_CTX_get0_certificate(context))
                                                     : Contents(store, SSL_get_certificate(ssl)));
  return found == contents_.end() ? nullptr : &found->second;
}

void ClientPolicies::Remember(const SSL_CTX* context, const PolicyDigest& policy) {
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  X509* certificate = SSL_CTX_get0_certificate(context);
  contents_[Contents(store, certificate)] = policy;
  X509_STORE_up_ref(store);
  held_.emplace_back(store, [](void* held) { X509_STORE_free(static_cast<X509_STORE*>(held)); });
  if (certificate == nullptr) return;
  X509_up_ref(certificate);
  held_.emplace_back(certificate, [](void* held) { X509_free(static_cast<X509*>(held)); });
}

}  // namespace ticket_keys
