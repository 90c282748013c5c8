#ifndef NATIVE_BINDING_CONTEXT_CAPTURE_H_
#define NATIVE_BINDING_CONTEXT_CAPTURE_H_

#include <napi.h>
#include <openssl/ssl.h>

namespace ticket_keys {

// captureContext(makeSocket): returns the SSL_CTX of the server-side TLSSocket that `makeSocket`
// creates, or null if it creates no SSL. `ContextOf` reads the returned value. The socket never
// carries data. The value holds no reference: it is valid only while JavaScript keeps its context
// alive (lib/tls/server-internals.ts).
Napi::Value CaptureContext(const Napi::CallbackInfo& info);

// Returns the SSL_CTX in a value of `CaptureContext`.
SSL_CTX* ContextOf(const Napi::Value& captured);

}  // namespace ticket_keys

#endif  // NATIVE_BINDING_CONTEXT_CAPTURE_H_
