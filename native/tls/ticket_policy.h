#ifndef NATIVE_TLS_TICKET_POLICY_H_
#define NATIVE_TLS_TICKET_POLICY_H_

#include <openssl/ssl.h>

#include <optional>

#include "tls/ssl_state.h"
#include "tls/ticket_data.h"

namespace ticket_keys {

// Which tickets may be made and which may resume, and nothing else: the design's section on what
// resumption may not do, in its order. No counting, no OpenSSL callbacks: those are in
// ticket_callbacks.cc.

// TLS 1.2 and 1.3 have tickets under our keys, older versions none.
std::optional<Protocol> ProtocolOf(const SSL* ssl);

// Whether this connection may get a ticket at all; the key is a matter of its own.
bool MayIssue(SSL* ssl, const AttachedContext& context, Protocol protocol);

// What the next ticket of this connection carries: what `presented` said, if it was resumed, with a
// new date.
TicketData DescribeSession(SSL* ssl, const Handshake& handshake, const TicketData* presented,
                           double now);

// Whether the hello that is being answered gets a session with extended master secret (RFC 7627
// section 5.1), over TLS 1.2.
bool GetsExtendedMasterSecret(SSL* ssl);

// Whole seconds for which a ticket made now may be kept, from the session's time on; below 1: make
// none.
double TicketLifetime(SSL* ssl, const TicketOptions& options, const TicketData& data,
                      double key_accept_until, Protocol protocol, double now);

// Why a ticket whose MAC is right may not resume here and now; nothing if it may. `data` is what it
// carried.
std::optional<Reason> WhyRefused(SSL* ssl, SSL_SESSION* session, const AttachedContext& context,
                                 Protocol protocol, double now, TicketData* data);

// A session with extended master secret, offered without it where all else is right, must end in
// an alert (RFC 7627 section 5.3), which OpenSSL sends if it is let go on.
bool MustAlert(SSL* ssl, SSL_SESSION* session, const AttachedContext& context, Protocol protocol,
               double now, const TicketData& data);

}  // namespace ticket_keys

#endif  // NATIVE_TLS_TICKET_POLICY_H_
