#include "tls/client_policies.h"

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <cstring>

namespace ticket_keys {
namespace {

// Whether the first label of a pattern is `*` and no other label contains a `*`.
bool IsSimpleWildcard(std::string_view pattern) {
  return pattern.substr(0, 2) == "*." && pattern.find('*', 1) == std::string_view::npos;
}

// Whether `name` matches a pattern, in which `*` stands for any characters except dots.
bool Matches(std::string_view pattern, std::string_view name) {
  // The position after the last `*`. Matching resumes there if the rest of the pattern
  // does not match.
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

struct Contents {
  X509_STORE* store;
  X509* certificate;
};

// The key of a context in `contents_`.
std::string ToKey(const Contents& contents) {
  return std::string(reinterpret_cast<const char*>(&contents), sizeof(contents));
}

Contents FromKey(const std::string& key) {
  Contents contents;
  std::memcpy(&contents, key.data(), sizeof(contents));
  return contents;
}

Contents ContentsOf(const SSL_CTX* context) {
  return {SSL_CTX_get_cert_store(context), SSL_CTX_get0_certificate(context)};
}

template <typename Table>
const typename Table::mapped_type* Find(const Table& table, const std::string& key) {
  const auto found = table.find(key);
  return found == table.end() ? nullptr : &found->second;
}

}  // namespace

ClientPolicies::ClientPolicies(const SSL_CTX* own, const PolicyDigest& policy) : own_(policy) {
  Remember(own, policy);
}

ClientPolicies::~ClientPolicies() {
  for (const auto& [key, entry] : contents_) {
    const Contents contents = FromKey(key);
    X509_STORE_free(contents.store);
    X509_free(contents.certificate);
  }
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

const PolicyDigest& ClientPolicies::Of(std::string_view name) const {
  if (name.empty()) return own_;
  const Entry* last = Find(exact_, std::string(name));
  const size_t dot = name.find('.');
  if (dot != std::string_view::npos) {
    const Entry* wildcard = Find(exact_, "*" + std::string(name.substr(dot)));
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
  X509_STORE* store = nullptr;
  if (SSL_get0_verify_cert_store(ssl, &store) != 1) return nullptr;
  // Without a HelloRetryRequest, Node.js does not give the SSL the SSL_CTX that it picked by name.
  // It copies that context's verify store and certificate to the SSL.
  const Contents contents = store == nullptr ? ContentsOf(SSL_get_SSL_CTX(ssl))
                                             : Contents{store, SSL_get_certificate(ssl)};
  const Entry* found = Find(contents_, ToKey(contents));
  return found == nullptr ? nullptr : &found->policy;
}

void ClientPolicies::Remember(const SSL_CTX* context, const PolicyDigest& policy) {
  const Contents contents = ContentsOf(context);
  const auto [known, added] = contents_.insert({ToKey(contents), {0, policy}});
  known->second.policy = policy;
  if (!added) return;
  X509_STORE_up_ref(contents.store);
  if (contents.certificate != nullptr) X509_up_ref(contents.certificate);
}

}  // namespace ticket_keys
