#include "tls/ticket_callbacks.h"

#include <openssl/evp.h>
#include <openssl/tls1.h>

#include <algorithm>
#include <utility>

#include "tls/client_hello.h"
#include "tls/ticket_crypto.h"
#include "tls/ticket_policy.h"

namespace ticket_keys {
namespace {

// Return values of the ticket key callback (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)).
constexpr int kNone = 0;
constexpr int kUse = 1;

// Tickets of a ClientHello that are decrypted and counted. A ClientHello has room for 1,700
// tickets.
constexpr int kMaxTickets = 4;

// The timeout of an accepted session, in seconds. In effect never, but small enough to be added to
// any date.
constexpr long kNoTimeout = 1L << 30;  // NOLINT(runtime/int): OpenSSL's type

int IssueTicket(SSL* ssl, Handshake* handshake, uint8_t* name, uint8_t* iv, EVP_CIPHER_CTX* cipher,
                EVP_MAC_CTX* mac) {
  const std::optional<Protocol> protocol = ProtocolOf(ssl);
  if (handshake->suppress_ticket || !protocol.has_value()) return kNone;
  TicketManager* manager = handshake->context->manager.get();
  {
    TicketManager::Reader ring(manager);
    const RingKey* key = ring.Current(manager->Now());
    if (key == nullptr || !InitTicketCipher(Direction::kEncrypt, key->aes_key, key->key_length,
                                            key->hmac_key, key->key_length, iv, cipher, mac)) {
      return kNone;
    }
    std::copy(key->name.begin(), key->name.end(), name);
  }
  if (SSL_session_reused(ssl) == 1) {
    manager->counters.Renewed(*protocol);
  } else {
    manager->counters.Issued(*protocol);
  }
  return kUse;
}

KeyMatch FindKey(Handshake* handshake, const uint8_t* name, uint8_t* iv, EVP_CIPHER_CTX* cipher,
                 EVP_MAC_CTX* mac) {
  TicketManager* manager = handshake->context->manager.get();
  TicketManager::Reader ring(manager);
  const double now = manager->Now();
  const RingKey* key = ring.Find(name);
  if (key == nullptr) return KeyMatch::kUnknown;
  if (now >= key->accept_until) return KeyMatch::kExpired;
  const RingKey* current = ring.Current(now);
  // The times may be equal: after a clock step, both keys can have a `not_before` of -infinity.
  handshake->newer_key =
      current != nullptr && current != key && current->not_before >= key->not_before;
  handshake->name = key->name;
  const bool done = InitTicketCipher(Direction::kDecrypt, key->aes_key, key->key_length,
                                     key->hmac_key, key->key_length, iv, cipher, mac);
  return done ? KeyMatch::kFound : KeyMatch::kFailed;
}

// After a HelloRetryRequest, OpenSSL presents the same tickets again. The second ClientHello has a
// single key share, for a group that had none in the first (RFC 8446 section 4.1.2).
void NoteHello(SSL* ssl, Handshake* handshake) {
  const uint8_t* extension;
  size_t length;
  uint16_t group = 0;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_key_share, &extension, &length) == 1) {
    group = ReadFirstShareGroup(extension, length);
  }
  if (handshake->hello_seen && group != handshake->share_group) {
    handshake->refused_before = handshake->refused_now;
    handshake->refused_now = 0;
  }
  handshake->hello_seen = true;
  handshake->share_group = group;
}

int OnTicketKey(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                EVP_MAC_CTX* mac, int encrypt) {
  Handshake* handshake = Handshake::Of(ssl, nullptr);
  if (handshake == nullptr) return kNone;
  if (encrypt == 1) return IssueTicket(ssl, handshake, name, iv, cipher, mac);
  if (ProtocolOf(ssl) == Protocol::kTls13) {
    NoteHello(ssl, handshake);
    if (handshake->refused_now >= kMaxTickets) return kNone;
  }
  handshake->match = FindKey(handshake, name, iv, cipher, mac);
  return handshake->match == KeyMatch::kFound ? kUse : kNone;
}

// OpenSSL aborts the handshake if a session is longer than this (construct_stateless_ticket). Only
// the client's certificate can make it that long.
constexpr int kMaxSessionLength = 0xFF00;

bool IsTooLarge(SSL_SESSION* session) {
  return SSL_SESSION_get0_peer(session) != nullptr &&
         i2d_SSL_SESSION(session, nullptr) > kMaxSessionLength;
}

// Adds what the application keeps with the session of a full handshake. False: issue no ticket.
bool AddKeptData(SSL* ssl, Handshake* handshake, TicketData* data) {
  if (handshake->context->ask_session_data == nullptr) return true;
  // The application was asked about the first handshake of this connection, not about this one.
  if (SSL_renegotiate_pending(ssl) != 0) return false;
  const std::shared_ptr<KeptData> kept = handshake->Kept(ssl);
  if (!kept->Ask()) return false;
  data->data = kept->data();
  return true;
}

// Runs before each ticket is made. Returning 0 would abort the handshake.
int OnGenerate(SSL* ssl, void* arg) {
  Handshake* handshake = Handshake::Of(ssl, static_cast<AttachedContext*>(arg));
  if (handshake == nullptr) return 1;
  handshake->suppress_ticket = true;
  const std::optional<Protocol> protocol = ProtocolOf(ssl);
  if (!protocol.has_value() || !MayIssue(ssl, *handshake->context, *protocol)) return 1;
  // The session was resumed by an external PSK or a session ID. A ticket would readmit this client
  // without asking the PSK callback or session store again.
  const bool resumed = SSL_session_reused(ssl) == 1;
  if ((resumed && !handshake->accepted) || SSL_get_psk_identity(ssl) != nullptr) return 1;

  TicketManager* manager = handshake->context->manager.get();
  const double now = manager->Now();
  double accept_until;
  {
    TicketManager::Reader ring(manager);
    const RingKey* key = ring.Current(now);
    if (key == nullptr) {
      manager->NoCurrentKey();
      return 1;
    }
    accept_until = key->accept_until;
  }

  SSL_SESSION* session = SSL_get_session(ssl);
  void* bytes = nullptr;
  size_t length = 0;
  TicketData presented;
  // On a renewal, the session still has the application data of the presented ticket.
  if (resumed && (SSL_SESSION_get0_ticket_appdata(session, &bytes, &length) != 1 ||
                  !presented.Read(static_cast<const uint8_t*>(bytes), length))) {
    return 1;
  }
  TicketData data = DescribeSession(ssl, *handshake, resumed ? &presented : nullptr, now);
  const double lifetime =
      TicketLifetime(ssl, *handshake->context, data, accept_until, *protocol, now);
  if (lifetime < 1) return 1;
  if (!resumed && !AddKeptData(ssl, handshake, &data)) return 1;

  uint8_t record[TicketData::kMaxSize];
  if (SSL_SESSION_set1_ticket_appdata(session, record, data.Write(record)) != 1) return 1;
  SSL_SESSION_set_timeout(session,
                          static_cast<long>(lifetime));  // NOLINT(runtime/int): OpenSSL's type
  // A resumed session has fitted into a ticket before.
  if (!resumed && IsTooLarge(session)) {
    SSL_SESSION_set1_ticket_appdata(session, nullptr, 0);
    return 1;
  }
  manager->RecordSession(data.authenticated_at);
  handshake->suppress_ticket = false;
  return 1;
}

// Why a ticket did not decrypt. OpenSSL does not call the key callback for a ticket that is too
// short, so this function then looks up the key name.
Reason WhyNotDecrypted(Handshake* handshake, const uint8_t* name, size_t name_length) {
  KeyMatch match = handshake->match;
  if (match == KeyMatch::kNotAsked && name_length == kNameLength) {
    TicketManager* manager = handshake->context->manager.get();
    TicketManager::Reader ring(manager);
    const RingKey* key = ring.Find(name);
    if (key != nullptr)
      match = manager->Now() >= key->accept_until ? KeyMatch::kExpired : KeyMatch::kFound;
  }
  switch (match) {
    case KeyMatch::kFound:
      return Reason::kBadTicket;
    case KeyMatch::kExpired:
      return Reason::kExpiredKey;
    case KeyMatch::kFailed:
      return Reason::kCallbackError;
    default:
      return Reason::kUnknownKey;
  }
}

// Counts a refused ticket once, even if OpenSSL presents it twice.
void CountRefusal(Handshake* handshake, Protocol protocol, Reason reason) {
  if (++handshake->refused_now > handshake->refused_before) {
    handshake->context->manager->counters.Rejected(protocol, reason);
  }
}

SSL_TICKET_RETURN OnDecrypt(SSL* ssl, SSL_SESSION* session, const unsigned char* name,
                            size_t name_length, SSL_TICKET_STATUS status, void* arg) {
  Handshake* handshake = Handshake::Of(ssl, static_cast<AttachedContext*>(arg));
  const std::optional<Protocol> protocol = ProtocolOf(ssl);
  if (handshake == nullptr || !protocol.has_value()) return SSL_TICKET_RETURN_IGNORE;
  const AttachedContext& context = *handshake->context;
  TicketManager* manager = context.manager.get();
  // If TLS 1.2 tickets are off, do not request a new one: OpenSSL would send an empty ticket.
  const bool tickets = *protocol == Protocol::kTls13 || manager->options.tls12_tickets;
  const SSL_TICKET_RETURN refuse =
      tickets ? SSL_TICKET_RETURN_IGNORE_RENEW : SSL_TICKET_RETURN_IGNORE;
  handshake->accepted = false;
  handshake->ticket_data.reset();
  handshake->extended_master_secret = GetsExtendedMasterSecret(ssl);
  if (status == SSL_TICKET_EMPTY) return refuse;
  if (*protocol == Protocol::kTls13) {
    // The key callback has done this already, unless the ticket is too short for it.
    if (handshake->match == KeyMatch::kNotAsked) NoteHello(ssl, handshake);
    if (handshake->refused_now >= kMaxTickets) return refuse;
  }

  const double now = manager->Now();
  TicketData data;
  std::optional<Reason> reason;
  if (status == SSL_TICKET_NO_DECRYPT || session == nullptr) {
    reason = WhyNotDecrypted(handshake, name, name_length);
  } else {
    reason = tickets ? WhyRefused(ssl, session, context, *protocol, now, &data) : Reason::kMismatch;
  }
  handshake->match = KeyMatch::kNotAsked;
  if (reason.has_value()) {
    CountRefusal(handshake, *protocol, *reason);
    const bool alert = *reason == Reason::kMismatch && tickets &&
                       MustAlert(ssl, session, context, *protocol, now, data);
    return alert ? SSL_TICKET_RETURN_USE : refuse;
  }

  // OpenSSL checks the session's timeout again, and reads the clock itself. It must not refuse a
  // ticket that was counted as accepted. A new ticket gets its own timeout.
  SSL_SESSION_set_timeout(session, kNoTimeout);
  manager->RecordSession(data.authenticated_at);
  handshake->accepted = true;
  handshake->issued_at = static_cast<double>(data.issued_at);
  handshake->authenticated_at = static_cast<double>(data.authenticated_at);
  handshake->server_name.assign(data.server_name.bytes.data(), data.server_name.length);
  handshake->ticket_data = data.data;
  handshake->WatchForEnd(ssl);
  // A TLS 1.3 client uses a ticket once (RFC 8446 appendix C.4). Without a new ticket, its next
  // handshake is full.
  const bool renew = *protocol == Protocol::kTls13 || handshake->newer_key;
  return renew ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}

// Runs at the first record of each connection, once. A full handshake calls none of the other
// callbacks before it is done.
void OnFirstMessage(int, int, int, const void*, size_t, SSL* ssl, void*) {
  SSL_set_msg_callback(ssl, nullptr);
  Handshake* handshake = Handshake::Of(ssl, nullptr);
  if (handshake != nullptr) handshake->WatchForEnd(ssl);
}

}  // namespace

bool ManageTickets(SSL_CTX* ssl_ctx, std::shared_ptr<AttachedContext> context) {
  const TicketOptions& options = context->manager->options;
  AttachedContext* const arg = context.get();
  if (context->session_id_context.empty() ||
      SSL_CTX_set_session_id_context(
          ssl_ctx, context->session_id_context.data(),
          static_cast<unsigned int>(context->session_id_context.size())) != 1 ||
      SSL_CTX_set_num_tickets(ssl_ctx, static_cast<size_t>(options.tickets_per_handshake)) != 1 ||
      !SetAttached(ssl_ctx, std::move(context)) ||
      SSL_CTX_set_session_ticket_cb(ssl_ctx, OnGenerate, OnDecrypt, arg) != 1) {
    return false;
  }
  const bool asks = arg->ask_session_data != nullptr;
  SSL_CTX_set_msg_callback(ssl_ctx, asks ? OnFirstMessage : nullptr);
  return SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl_ctx, OnTicketKey) == 1;
}

}  // namespace ticket_keys
