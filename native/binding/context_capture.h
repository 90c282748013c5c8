#ifndef NATIVE_BINDING_CONTEXT_CAPTURE_H_
#define NATIVE_BINDING_CONTEXT_CAPTURE_H_

#include <napi.h>
#include <openssl/ssl.h>

namespace ticket_keys {

// captureContext(makeSocket): the SSL_CTX that `makeSocket` creates a server-side TLSSocket on, for
// `ContextOf`; null where no SSL was made. Nothing is ever read from the socket. The value holds no
// reference: it is good as long as JavaScript's context is (lib/tls/server-internals.ts).
Napi::Value CaptureContext(const Napi::CallbackInfo& info);

// The SSL_CTX that was captured.
SSL_CTX* ContextOf(const Napi::Value& captured);

}  // namespace ticket_keys

#endif  // NATIVE_BINDING_CONTEXT_CAPTURE_H_
