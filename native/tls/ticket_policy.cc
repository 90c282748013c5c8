#include "tls/ticket_policy.h"

#include <openssl/evp.h>
#include <openssl/tls1.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>
#include <string_view>

#include "tls/client_hello.h"
#include "tls/client_trust.h"

namespace ticket_keys {
namespace {

constexpr double kSecond = 1000;

// Node.js sets only these two bits (SSL_set_verify(3)).
uint8_t VerifyMode(const SSL* ssl) {
  constexpr int kBits = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  return static_cast<uint8_t>(SSL_get_verify_mode(ssl) & kBits);
}

bool AsksForCertificate(const SSL* ssl) { return (VerifyMode(ssl) & SSL_VERIFY_PEER) != 0; }

// Whether the connection has the context that Node.js picks for its server name. Node.js picks the
// context by the spelling in the first ClientHello. Another spelling may pick another context,
// depending on the Node.js version. A TLS 1.2 renegotiation keeps the first context, even under
// another name.
bool ContextIsOfName(SSL* ssl, const AttachedContext& context, bool normal) {
  const bool by_name = context.has_sni_callback || context.policies.by_name();
  return (normal || !by_name) && SSL_renegotiate_pending(ssl) == 0;
}

const PolicyDigest& PolicyOf(const AttachedContext& context, const ServerName& name) {
  return context.policies.Of(std::string_view(name.bytes.data(), name.length));
}

// Reads the server name of the current ClientHello, which SSL_get_servername does not know yet.
// Returns false if the name is malformed.
bool OfferedName(SSL* ssl, ServerName* name) {
  const uint8_t* extension;
  size_t length;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &extension, &length) != 1)
    return true;
  return ReadServerName(extension, length, name);
}

bool OffersExtendedMasterSecret(SSL* ssl) {
  const uint8_t* extension;
  size_t length;
  return SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_extended_master_secret, &extension, &length) ==
         1;
}

// Whether the client asks for the record size that the session was made with (RFC 6066 section 4).
// Otherwise the server would answer with a size that the client has not asked for, or OpenSSL would
// abort the handshake, depending on its version.
bool FitsFragmentLength(SSL* ssl, const SSL_SESSION* session) {
  const uint8_t* extension;
  size_t length;
  const bool offered =
      SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_max_fragment_length, &extension, &length) == 1;
  const uint8_t mode = offered && length == 1 ? extension[0] : TLSEXT_max_fragment_length_DISABLED;
  return SSL_SESSION_get_max_fragment_length(session) == mode;
}

bool HasCipher(const STACK_OF(SSL_CIPHER) * ciphers, uint16_t suite) {
  for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
    if (SSL_CIPHER_get_protocol_id(sk_SSL_CIPHER_value(ciphers, i)) == suite) return true;
  }
  return false;
}

// Whether the session does not fit the handshake. OpenSSL would find the same later, and refuse
// silently or with an alert.
bool Mismatches(SSL* ssl, SSL_SESSION* session, const TicketData& data, Protocol protocol) {
  const SSL_CIPHER* cipher = SSL_SESSION_get0_cipher(session);
  if (SSL_SESSION_get_protocol_version(session) != SSL_version(ssl) || cipher == nullptr)
    return true;
  if (!FitsFragmentLength(ssl, session)) return true;
  if (protocol == Protocol::kTls13) {
    // RFC 8446 section 4.2.11: the chosen cipher and the session's cipher must have the same hash.
    const SSL_CIPHER* pending = SSL_get_pending_cipher(ssl);
    return pending == nullptr ||
           SSL_CIPHER_get_handshake_digest(pending) != SSL_CIPHER_get_handshake_digest(cipher);
  }
  if (GetsExtendedMasterSecret(ssl) != data.extended_master_secret) return true;
  // OpenSSL continues with the session's cipher, even if the server no longer supports it.
  const uint16_t suite = SSL_CIPHER_get_protocol_id(cipher);
  if (!HasCipher(SSL_get_ciphers(ssl), suite)) return true;
  // SSL_client_hello_get0_ciphers does not work here: OpenSSL has already consumed that list.
  // SSL_get0_raw_cipherlist is a macro of the public header without a manual page. It reads the
  // copy that OpenSSL keeps.
  const uint8_t* suites = nullptr;
  const auto length = SSL_get0_raw_cipherlist(ssl, &suites);
  return suites == nullptr || !OffersCipher(suites, static_cast<size_t>(length), suite);
}

bool HasContext(const SSL_SESSION* session, const std::vector<uint8_t>& expected) {
  unsigned int length = 0;
  const uint8_t* context = SSL_SESSION_get0_id_context(session, &length);
  return length == expected.size() && std::memcmp(context, expected.data(), length) == 0;
}

// When the chain of renewals ends, in milliseconds. RFC 8446 bounds only a single ticket.
double ChainEnd(const TicketOptions& options, const TicketData& data) {
  return static_cast<double>(data.authenticated_at) + options.max_session_age;
}

// When the ticket itself expires. Renewed TLS 1.2 tickets keep the master secret, so their lifetime
// counts from the full handshake.
double TicketEnd(const AttachedContext& context, const TicketData& data, Protocol protocol) {
  const uint64_t start = protocol == Protocol::kTls13 ? data.issued_at : data.authenticated_at;
  return static_cast<double>(start) + context.ticket_lifetime;
}

// OpenSSL repeats this check later. OpenSSL 3.0 uses whole seconds, and later versions use finer
// ones. Refuse one second early, so that OpenSSL never refuses first.
bool HasTimedOut(const SSL_SESSION* session) {
  return SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session) < std::time(nullptr) + 1;
}

std::optional<Reason> WhyTooOld(SSL_SESSION* session, const AttachedContext& context,
                                const TicketData& data, Protocol protocol, double now) {
  const TicketOptions& options = context.manager->options;
  if (now >= TicketEnd(context, data, protocol)) return Reason::kSessionExpired;
  // Otherwise, tickets of a host whose clock is far ahead would resume until this host's clock has
  // caught up.
  if (static_cast<double>(data.authenticated_at) > now + options.max_clock_skew)
    return Reason::kSessionExpired;
  const bool bounded = protocol == Protocol::kTls13;
  if (bounded && now >= ChainEnd(options, data)) return Reason::kSessionTooOld;
  if (!HasTimedOut(session)) return std::nullopt;
  double end = TicketEnd(context, data, protocol);
  if (bounded) end = std::min(end, ChainEnd(options, data));
  // The certificate chain shortened the timeout. HasRightCertificate refuses the session.
  if (static_cast<double>(data.chain_end()) <= end) return std::nullopt;
  return end < TicketEnd(context, data, protocol) ? Reason::kSessionTooOld
                                                  : Reason::kSessionExpired;
}

// The SHA-256 of the client's certificate. Empty without one.
std::string_view FingerprintOf(const SSL_SESSION* session, uint8_t* buffer) {
  unsigned int length = 0;
  const X509* peer = SSL_SESSION_get0_peer(const_cast<SSL_SESSION*>(session));
  if (peer == nullptr || X509_digest(peer, EVP_sha256(), buffer, &length) != 1) return {};
  return {reinterpret_cast<const char*>(buffer), length};
}

bool IsRevoked(const SSL_SESSION* session, const TicketManager& manager, const TicketData& data) {
  RevocableSession revocable = {};
  revocable.authenticated_at = static_cast<double>(data.authenticated_at);
  if (revocable.authenticated_at <= manager.revoked_until()) return true;
  if (manager.revocations.empty()) return false;
  revocable.server_name = {data.server_name.bytes.data(), data.server_name.length};
  if (data.data.has_value()) {
    revocable.data =
        std::string_view(reinterpret_cast<const char*>(data.data->bytes.data()), data.data->length);
  }
  uint8_t digest[EVP_MAX_MD_SIZE];
  if (manager.revocations.needs_fingerprint())
    revocable.fingerprint = FingerprintOf(session, digest);
  return manager.revocations.Covers(revocable);
}

bool HasRightName(SSL* ssl, const AttachedContext& context, const TicketData& data) {
  // Contexts may trust different CAs. If the server requests client certificates, always
  // check the name.
  if (!context.manager->options.bind_server_name && !AsksForCertificate(ssl)) return true;
  ServerName name;
  if (!OfferedName(ssl, &name) || !(name == data.server_name)) return false;
  return !AsksForCertificate(ssl) || ContextIsOfName(ssl, context, name.normal);
}

bool HasRightCertificate(SSL* ssl, SSL_SESSION* session, const AttachedContext& context,
                         const TicketData& data, double now) {
  const bool has_certificate = SSL_SESSION_get0_peer(session) != nullptr;
  // The reverse also counts: if the server requests no certificate, the client must not appear to
  // have presented one.
  if (AsksForCertificate(ssl) != has_certificate) return false;
  if (!has_certificate) return true;
  return data.client.has_value() && data.client->verify_mode == VerifyMode(ssl) &&
         context.policies.known() && data.client->policy == PolicyOf(context, data.server_name) &&
         now < static_cast<double>(data.client->chain_end) && !HasTimedOut(session) &&
         data.client->chain_strength >= SecurityBits(SSL_get_security_level(ssl));
}

// Why a session that fits the handshake may not resume. Nothing if it may.
std::optional<Reason> WhyForbidden(SSL* ssl, SSL_SESSION* session, const AttachedContext& context,
                                   Protocol protocol, double now, const TicketData& data) {
  if (!HasContext(session, context.session_id_context)) return Reason::kContext;
  const std::optional<Reason> too_old = WhyTooOld(session, context, data, protocol, now);
  if (too_old.has_value()) return too_old;
  if (IsRevoked(session, *context.manager, data)) return Reason::kSessionRevoked;
  if (!HasRightName(ssl, context, data)) return Reason::kServerName;
  if (!HasRightCertificate(ssl, session, context, data, now)) return Reason::kClientCertificate;
  return std::nullopt;
}

}  // namespace

bool GetsExtendedMasterSecret(SSL* ssl) {
  // With this option, OpenSSL ignores the extension.
  return (SSL_get_options(ssl) & SSL_OP_NO_EXTENDED_MASTER_SECRET) == 0 &&
         OffersExtendedMasterSecret(ssl);
}

std::optional<Protocol> ProtocolOf(const SSL* ssl) {
  switch (SSL_version(ssl)) {
    case TLS1_2_VERSION:
      return Protocol::kTls12;
    case TLS1_3_VERSION:
      return Protocol::kTls13;
    default:
      return std::nullopt;
  }
}

bool MayIssue(SSL* ssl, const AttachedContext& context, Protocol protocol) {
  const TicketOptions& options = context.manager->options;
  if (protocol == Protocol::kTls12 && !options.tls12_tickets) return false;
  if (!AsksForCertificate(ssl)) return true;
  if (SSL_SESSION_get0_peer(SSL_get_session(ssl)) == nullptr) return false;
  if (!context.policies.known()) return false;
  ServerName name;
  const char* asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (asked != nullptr) NormalizeServerName(asked, std::strlen(asked), &name);
  if (!ContextIsOfName(ssl, context, name.normal)) return false;
  // On resumption, Node.js does not ask the SNICallback again.
  if (context.has_sni_callback) return options.resume_sni_callback;
  // A resumed handshake always has the server's own context. Its session passed this check in its
  // full handshake.
  if (SSL_session_reused(ssl) == 1) return true;
  const PolicyDigest* used = context.policies.OfContext(ssl);
  return used != nullptr && *used == PolicyOf(context, name);
}

TicketData DescribeSession(SSL* ssl, const Handshake& handshake, const TicketData* presented,
                           double now) {
  TicketData data;
  if (presented != nullptr) {
    data = *presented;
  } else {
    data.authenticated_at = static_cast<uint64_t>(std::max(now, 0.0));
    data.extended_master_secret = handshake.extended_master_secret;
    const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (name != nullptr) NormalizeServerName(name, std::strlen(name), &data.server_name);
    if (AsksForCertificate(ssl)) {
      const VerifiedChain chain = DescribeVerifiedChain(ssl);
      data.client = ClientVerification{VerifyMode(ssl), chain.strength, chain.end,
                                       PolicyOf(*handshake.context, data.server_name)};
    }
  }
  data.issued_at = static_cast<uint64_t>(std::max(now, 0.0));
  return data;
}

double TicketLifetime(SSL* ssl, const AttachedContext& context, const TicketData& data,
                      double key_accept_until, Protocol protocol, double now) {
  const TicketOptions& options = context.manager->options;
  double end = std::min(TicketEnd(context, data, protocol), key_accept_until);
  if (protocol == Protocol::kTls13) end = std::min(end, ChainEnd(options, data));
  end = std::min(end, static_cast<double>(data.chain_end()));
  // Tickets store whole milliseconds. With the fraction of `now`, each lifetime would be
  // one second short.
  const double left = std::floor((end - std::floor(now)) / kSecond);
  if (protocol == Protocol::kTls13 || SSL_session_reused(ssl) == 0 || left < 1) return left;
  // A renewed TLS 1.2 session keeps the time of its full handshake, and OpenSSL counts the timeout
  // from that time. The lifetime hint is then 0, which means unspecified (RFC 5077 section 3.3).
  const auto passed = std::time(nullptr) - SSL_SESSION_get_time(SSL_get_session(ssl));
  return left + static_cast<double>(passed);
}

std::optional<Reason> WhyRefused(SSL* ssl, SSL_SESSION* session, const AttachedContext& context,
                                 Protocol protocol, double now, TicketData* data) {
  void* bytes = nullptr;
  size_t length = 0;
  if (SSL_SESSION_get0_ticket_appdata(session, &bytes, &length) != 1 ||
      !data->Read(static_cast<const uint8_t*>(bytes), length)) {
    return Reason::kBadTicket;
  }
  if (Mismatches(ssl, session, *data, protocol)) return Reason::kMismatch;
  return WhyForbidden(ssl, session, context, protocol, now, *data);
}

bool MustAlert(SSL* ssl, SSL_SESSION* session, const AttachedContext& context, Protocol protocol,
               double now, const TicketData& data) {
  return protocol == Protocol::kTls12 && data.extended_master_secret &&
         !OffersExtendedMasterSecret(ssl) &&
         !WhyForbidden(ssl, session, context, protocol, now, data).has_value();
}

}  // namespace ticket_keys
