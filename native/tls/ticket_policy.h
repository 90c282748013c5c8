#ifndef NATIVE_TLS_TICKET_POLICY_H_
#define NATIVE_TLS_TICKET_POLICY_H_

#include <openssl/ssl.h>

#include <optional>

#include "tls/ssl_state.h"
#include "tls/ticket_data.h"

namespace ticket_keys {

// The ticket policy: which tickets may be issued and which may resume. ticket_callbacks.cc has the
// OpenSSL callbacks and the counting.

// The protocol of a connection. Nothing before TLS 1.2: older versions get no managed tickets.
std::optional<Protocol> ProtocolOf(const SSL* ssl);

// Whether this connection may get a ticket. Does not check whether a key can issue it.
bool MayIssue(SSL* ssl, const AttachedContext& context, Protocol protocol);

// The data of the connection's next ticket. In a resumed handshake, `presented` is the data of the
// presented ticket, and the new ticket gets the same data with a new issue time. In a full
// handshake, `presented` is nullptr.
TicketData DescribeSession(SSL* ssl, const Handshake& handshake, const TicketData* presented,
                           double now);

// Whether the current ClientHello gets a session with extended master secret over TLS 1.2 (RFC 7627
// section 5.1).
bool GetsExtendedMasterSecret(SSL* ssl);

// How long a ticket made now is valid, in whole seconds from the session's time. Below 1:
// issue no ticket.
double TicketLifetime(SSL* ssl, const AttachedContext& context, const TicketData& data,
                      double key_accept_until, Protocol protocol, double now);

// Why a ticket that decrypted may not resume. Nothing if it may. `data` receives the ticket's data.
std::optional<Reason> WhyRefused(SSL* ssl, SSL_SESSION* session, const AttachedContext& context,
                                 Protocol protocol, double now, TicketData* data);

// Whether the handshake must end in an alert (RFC 7627 section 5.3): the session has extended
// master secret, the ClientHello does not offer it, and the session may resume otherwise. OpenSSL
// sends the alert if the ticket is accepted.
bool MustAlert(SSL* ssl, SSL_SESSION* session, const AttachedContext& context, Protocol protocol,
               double now, const TicketData& data);

}  // namespace ticket_keys

#endif  // NATIVE_TLS_TICKET_POLICY_H_
