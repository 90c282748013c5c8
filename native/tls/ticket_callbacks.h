#ifndef NATIVE_TLS_TICKET_CALLBACKS_H_
#define NATIVE_TLS_TICKET_CALLBACKS_H_

#include <openssl/ssl.h>

#include "tls/ssl_state.h"

namespace ticket_keys {

// Sets the callbacks that apply a manager's keys and policy to an SSL_CTX. False if OpenSSL fails.
bool ManageTickets(SSL_CTX* ssl_ctx, std::shared_ptr<AttachedContext> context);

}  // namespace ticket_keys

#endif  // NATIVE_TLS_TICKET_CALLBACKS_H_
