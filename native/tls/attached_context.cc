#include "tls/attached_context.h"

#include <openssl/evp.h>

#include <algorithm>

namespace ticket_keys {
namespace {

// Combines the manager's session ID context with the one that the server's owner has set. Empty if
// OpenSSL is out of memory.
std::vector<uint8_t> Combine(const std::vector<uint8_t>& manager,
                             const std::vector<uint8_t>& server) {
  if (server.empty()) return manager;
  std::vector<uint8_t> both = manager;
  both.insert(both.end(), server.begin(), server.end());
  // SHA-256 fits: SSL_CTX_set_session_id_context(3) takes 32 bytes.
  std::vector<uint8_t> digest(32);
  if (EVP_Digest(both.data(), both.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    return {};
  }
  return digest;
}

}  // namespace

AttachedContext::AttachedContext(std::shared_ptr<TicketManager> given, const SSL_CTX* own,
                                 const ServerSettings& server)
    : manager(std::move(given)),
      policies(own, server.policy),
      has_sni_callback(server.has_sni_callback),
      session_id_context(Combine(manager->options.session_id_context, server.session_id_context)),
      ticket_lifetime(std::min(manager->options.ticket_lifetime, server.session_timeout)),
      ask_session_data(server.ask_session_data) {}

}  // namespace ticket_keys
