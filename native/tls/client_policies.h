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

// A digest of the settings by which a context verifies
// client certificates (lib/tls/client-cert-policy.ts).
using PolicyDigest = std::array<uint8_t, 16>;

// The client-certificate policy of a server for each server name. Node.js picks the last context of
// addContext whose pattern matches the name. Without a match, it uses the server's own context.
// Only the thread that owns the server uses this class.
class ClientPolicies final {
 public:
  ClientPolicies(const SSL_CTX* own, const PolicyDigest& policy);
  ~ClientPolicies();
  ClientPolicies(const ClientPolicies&) = delete;
  ClientPolicies& operator=(const ClientPolicies&) = delete;

  // Adds the context of one addContext call. Add them in the order of the calls. In a pattern, `*`
  // stands for any characters except dots.
  void Add(const std::string& pattern, const SSL_CTX* context, const PolicyDigest& policy);
  // Records a pattern that cannot be compared with names, or contexts whose policies were not read.
  void AddUnknown() { comparable_ = false; }
  // Whether all contexts that the server has now were added.
  void set_complete(bool complete) { complete_ = complete; }

  // Whether `Of` knows the policy of every name.
  bool known() const { return comparable_ && complete_; }
  // Whether the policy depends on the server name.
  bool by_name() const { return by_name_; }
  // The policy for a name in lower case without a trailing dot. Empty: the client sent no name.
  const PolicyDigest& Of(std::string_view name) const;
  // The policy of the context that a connection uses, or nullptr if the context does not belong to
  // this server.
  const PolicyDigest* OfContext(SSL* ssl) const;

 private:
  struct Entry {
    size_t position;
    PolicyDigest policy;
  };
  // A single map type for all tables keeps the binary small.
  using Table = std::map<std::string, Entry>;

  void Remember(const SSL_CTX* context, const PolicyDigest& policy);

  const PolicyDigest own_;
  bool comparable_ = true;
  bool complete_ = true;
  bool by_name_ = false;
  size_t count_ = 0;
  // Names, and patterns of the form `*.example.com`. Most servers have only these.
  Table exact_;
  // All other patterns, in the order of the addContext calls.
  std::vector<std::pair<std::string, Entry>> patterns_;
  // Policies by what Node.js copies from a context to an SSL: the verify store and the certificate.
  // The table holds references to both, so that no later object can have the same address.
  Table contents_;
};

}  // namespace ticket_keys

#endif  // NATIVE_TLS_CLIENT_POLICIES_H_
