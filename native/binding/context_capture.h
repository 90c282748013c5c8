#ifndef NATIVE_BINDING_CONTEXT_CAPTURE_H_
#define NATIVE_BINDING_CONTEXT_CAPTURE_H_

#include <napi.h>
#include <openssl/ssl.h>

namespace ticket_keys {

// captureContext(makeSocket): the SSL_CTX that `makeSocket` creates a server-side TLSSocket on, for
// `ContextOf`; null where no SSL was made. Nothing is ever read from the socket.
Napi::Value CaptureContext(const Napi::CallbackInfo& info);

// The SSL_CTX that was captured, which the value keeps alive.
SSL_CTX* ContextOf(const Napi::Value& captured);

}  // namespace ticket_keys

#endif  // NATIVE_BINDING_CONTEXT_CAPTURE_H_
