#include "ticket_policy.h"

#include <openssl/tls1.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>

#include "client_hello.h"

namespace ticket_keys {
namespace {

constexpr double kSecond = 1000;

bool AsksForCertificate(const SSL* ssl) {
  return (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0;
}

// The server name in the ClientHello that is being answered: SSL_get_servername knows it only
// later. False if it is malformed.
bool OfferedName(SSL* ssl, ServerName* name) {
  const uint8_t* extension;
  size_t length;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &extension, &length) != 1)
    return true;
  return ReadServerName(extension, length, name);
}

// What OpenSSL would check after us, and refuse in silence or with an alert.
bool Mismatches(SSL* ssl, SSL_SESSION* session, const TicketData& data, Protocol protocol) {
  const SSL_CIPHER* cipher = SSL_SESSION_get0_cipher(session);
  if (SSL_SESSION_get_protocol_version(session) != SSL_version(ssl) || cipher == nullptr)
    return true;
  if (protocol == Protocol::kTls13) {
    // RFC 8446 section 4.2.11: the hash of the chosen cipher must be that of the session's.
    const SSL_CIPHER* pending = SSL_get_pending_cipher(ssl);
    return pending == nullptr ||
           SSL_CIPHER_get_handshake_digest(pending) != SSL_CIPHER_get_handshake_digest(cipher);
  }
  if (OffersExtendedMasterSecret(ssl) != data.extended_master_secret) return true;
  // Not SSL_client_hello_get0_ciphers: OpenSSL has consumed that list by now. This macro of the
  // public header has no manual page; it reads the copy that OpenSSL keeps.
  const uint8_t* suites = nullptr;
  const auto length = SSL_get0_raw_cipherlist(ssl, &suites);
  return suites == nullptr ||
         !OffersCipher(suites, static_cast<size_t>(length), SSL_CIPHER_get_protocol_id(cipher));
}

bool HasContext(const SSL_SESSION* session, const std::vector<uint8_t>& expected) {
  unsigned int length = 0;
  const uint8_t* context = SSL_SESSION_get0_id_context(session, &length);
  return length == expected.size() && std::memcmp(context, expected.data(), length) == 0;
}

// When the chain ends, in milliseconds, if it may not go on without end: RFC 8446 bounds a ticket
// only.
double ChainEnd(const TicketOptions& options, const TicketData& data) {
  return static_cast<double>(data.authenticated_at) + options.max_session_age;
}

// When the ticket itself ends. The master secret of TLS 1.2 goes on through renewals: its life is
// the session's.
double TicketEnd(const TicketOptions& options, const TicketData& data, Protocol protocol) {
  const uint64_t start = protocol == Protocol::kTls13 ? data.issued_at : data.authenticated_at;
  return static_cast<double>(start) + options.ticket_lifetime;
}

std::optional<Reason> WhyTooOld(SSL_SESSION* session, const TicketOptions& options,
                                const TicketData& data, Protocol protocol, double now) {
  if (now >= TicketEnd(options, data, protocol)) return Reason::kSessionExpired;
  const bool bounded = protocol == Protocol::kTls13;
  if (bounded && now >= ChainEnd(options, data)) return Reason::kSessionTooOld;
  // OpenSSL's own check follows, by whole seconds in 3.0 and finer ones later: be a second ahead of
  // it.
  const auto end = SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session);
  if (end >= std::time(nullptr) + 1) return std::nullopt;
  const bool by_chain = bounded && ChainEnd(options, data) < TicketEnd(options, data, protocol);
  return by_chain ? Reason::kSessionTooOld : Reason::kSessionExpired;
}

bool HasRightName(SSL* ssl, const AttachedContext& context, const TicketData& data) {
  // Hosts may trust different CAs: where certificates count, names always do.
  if (!context.manager->options.bind_server_name && !AsksForCertificate(ssl)) return true;
  ServerName name;
  return OfferedName(ssl, &name) && name == data.server_name;
}

bool HasRightCertificate(SSL* ssl, SSL_SESSION* session, const AttachedContext& context,
                         const TicketData& data, double now) {
  const bool has_certificate = SSL_SESSION_get0_peer(session) != nullptr;
  // The other way round as well: who is not asked for a certificate must not appear to have shown
  // one.
  if (AsksForCertificate(ssl) != has_certificate) return false;
  return !has_certificate ||
         (data.client_policy == context.client_policy && now < static_cast<double>(data.chain_end));
}

// The earliest end of the certificates that the client was verified by, in milliseconds. A session
// whose verification failed has nothing to lose: it resumes with the same failure.
uint64_t VerifiedChainEnd(SSL* ssl) {
  STACK_OF(X509)* chain = SSL_get0_verified_chain(ssl);
  if (chain == nullptr || SSL_get_verify_result(ssl) != X509_V_OK) return TicketData::kNoEnd;
  uint64_t end = TicketData::kNoEnd;
  for (int i = 0; i < sk_X509_num(chain); i++) {
    std::tm broken_down = {};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(sk_X509_value(chain, i)), &broken_down) != 1) return 0;
    const std::time_t seconds = timegm(&broken_down);
    end = std::min(end, seconds < 0 ? 0 : static_cast<uint64_t>(seconds) * 1000);
  }
  return end;
}

}  // namespace

bool OffersExtendedMasterSecret(SSL* ssl) {
  const uint8_t* extension;
  size_t length;
  return SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_extended_master_secret, &extension, &length) ==
         1;
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
  // A context that an SNICallback chose would not be asked for again on resumption. A resumed
  // handshake never leaves the default one; its session passed here when it was made.
  const auto& known = context.known_contexts;
  return options.resume_sni_callback ||
         std::find(known.begin(), known.end(), SSL_get_SSL_CTX(ssl)) != known.end();
}

TicketData DescribeSession(SSL* ssl, const Handshake& handshake, const TicketData* presented,
                           double now) {
  TicketData data;
  if (presented != nullptr) {
    data = *presented;
  } else {
    data.authenticated_at = static_cast<uint64_t>(std::max(now, 0.0));
    data.chain_end = AsksForCertificate(ssl) ? VerifiedChainEnd(ssl) : TicketData::kNoEnd;
    data.extended_master_secret = handshake.extended_master_secret;
    data.client_policy = handshake.context->client_policy;
    const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (name != nullptr) NormalizeServerName(name, std::strlen(name), &data.server_name);
  }
  data.issued_at = static_cast<uint64_t>(std::max(now, 0.0));
  return data;
}

double TicketLifetime(SSL* ssl, const TicketOptions& options, const TicketData& data,
                      double key_accept_until, Protocol protocol, double now) {
  double end = std::min(TicketEnd(options, data, protocol), key_accept_until);
  if (protocol == Protocol::kTls13) end = std::min(end, ChainEnd(options, data));
  if (data.chain_end != TicketData::kNoEnd)
    end = std::min(end, static_cast<double>(data.chain_end));
  const double left = std::floor((end - now) / kSecond);
  if (protocol == Protocol::kTls13 || SSL_session_reused(ssl) == 0 || left < 1) return left;
  // A renewed TLS 1.2 session keeps the time of its full handshake, which OpenSSL counts its
  // timeout from; the lifetime hint is then 0 (RFC 5077 section 3.3: unspecified).
  const auto passed = std::time(nullptr) - SSL_SESSION_get_time(SSL_get_session(ssl));
  return left + static_cast<double>(passed);
}

std::optional<Reason> WhyRefused(SSL* ssl, SSL_SESSION* session, const AttachedContext& context,
                                 Protocol protocol, double now, TicketData* data) {
  const TicketOptions& options = context.manager->options;
  void* bytes = nullptr;
  size_t length = 0;
  if (SSL_SESSION_get0_ticket_appdata(session, &bytes, &length) != 1 ||
      !data->Read(static_cast<const uint8_t*>(bytes), length)) {
    return Reason::kBadTicket;
  }
  if (Mismatches(ssl, session, *data, protocol)) return Reason::kMismatch;
  if (!HasContext(session, options.session_id_context)) return Reason::kContext;
  const std::optional<Reason> too_old = WhyTooOld(session, options, *data, protocol, now);
  if (too_old.has_value()) return too_old;
  if (static_cast<double>(data->authenticated_at) <= context.manager->revoked_until()) {
    return Reason::kSessionRevoked;
  }
  if (!HasRightName(ssl, context, *data)) return Reason::kServerName;
  if (!HasRightCertificate(ssl, session, context, *data, now)) return Reason::kClientCertificate;
  return std::nullopt;
}

bool MustAlert(SSL* ssl, const TicketData& data, Protocol protocol) {
  return protocol == Protocol::kTls12 && data.extended_master_secret &&
         !OffersExtendedMasterSecret(ssl);
}

}  // namespace ticket_keys
