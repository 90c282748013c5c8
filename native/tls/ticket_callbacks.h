#ifndef NATIVE_TLS_TICKET_CALLBACKS_H_
#define NATIVE_TLS_TICKET_CALLBACKS_H_

#include <openssl/ssl.h>

#include "tls/ssl_state.h"

namespace ticket_keys {

// Puts a manager's keys and policy in charge of an SSL_CTX's tickets; false where OpenSSL refused.
bool ManageTickets(SSL_CTX* ssl_ctx, std::shared_ptr<AttachedContext> context);

}  // namespace ticket_keys

#endif  // NATIVE_TLS_TICKET_CALLBACKS_H_
