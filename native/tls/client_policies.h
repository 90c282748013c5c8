#ifndef NATIVE_TLS_CLIENT_POLICIES_H_
#define NATIVE_TLS_CLIENT_POLICIES_H_

#include <openssl/ssl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ticket_keys {

// Made by lib/tls/client-cert-policy.ts from what a context takes client certificates by.
using PolicyDigest = std::array<uint8_t, 16>;

// The client-certificate policy of a server under each server name. Node.js picks the last context
// of addContext whose pattern matches the name, or else the server's own context. Only the thread
// that the server belongs to uses this.
class ClientPolicies final {
 public:
  ClientPolicies(const SSL_CTX* own, const PolicyDigest& policy);
  ~ClientPolicies();
  ClientPolicies(const ClientPolicies&) = delete;
  ClientPolicies& operator=(const ClientPolicies&) = delete;

  // One call of addContext, in their order. In a pattern, `*` stands for any characters but dots.
  void Add(const std::string& pattern, const SSL_CTX* context, const PolicyDigest& policy);
  // A pattern that cannot be compared with names, or contexts that were not looked at.
  void AddUnknown() { comparable_ = false; }
  // Whether every context that the server has now was added.
  void set_complete(bool complete) { complete_ = complete; }

  // Whether `Of` knows the policy of each name.
  bool known() const { return comparable_ && complete_; }
  // Whether names differ in their policies.
  bool by_name() const { return by_name_; }
  // The policy under a name in lower case without a trailing dot; empty: the client sent no name.
  const PolicyDigest& Of(std::string_view name) const;
  // The policy of the context that a connection has; nullptr for a context that is not of this
  // server.
  const PolicyDigest* OfContext(SSL* ssl) const;

 private:
  struct Entry {
    size_t position;
    PolicyDigest policy;
  };
  // One kind of table for everything keeps the binary small.
  using Table = std::map<std::string, Entry>;

  void Remember(const SSL_CTX* context, const PolicyDigest& policy);

  const PolicyDigest own_;
  bool comparable_ = true;
  bool complete_ = true;
  bool by_name_ = false;
  size_t count_ = 0;
  // Names, and patterns of the form `*.example.com`, which cover most servers.
  Table exact_;
  // All other patterns, in their order.
  std::vector<std::pair<std::string, Entry>> patterns_;
  // By what Node.js copies from a context to an SSL: verify store and certificate. Both are held,
  // so that nothing made later has their address.
  Table contents_;
};

}  // namespace ticket_keys

#endif  // NATIVE_TLS_CLIENT_POLICIES_H_
