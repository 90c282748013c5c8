#ifndef NATIVE_BINDING_CONTEXT_CAPTURE_H_
#define NATIVE_BINDING_CONTEXT_CAPTURE_H_

#include <napi.h>
#include <openssl/ssl.h>

namespace ticket_keys {

// The SSL_CTX behind a server: `make_socket` creates a server-side TLSSocket on it, which nothing
// is ever read from. nullptr, with an exception pending or not, where no SSL was made.
SSL_CTX* CaptureContext(const Napi::Function& make_socket);

}  // namespace ticket_keys

#endif  // NATIVE_BINDING_CONTEXT_CAPTURE_H_
