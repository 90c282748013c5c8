#ifndef NATIVE_BINDING_JS_CALLBACK_H_
#define NATIVE_BINDING_JS_CALLBACK_H_

#include <napi.h>

namespace ticket_keys {

// setTicketKeyCallback(context, decide): OpenSSL's own interface, decided in JavaScript.
// `decide` is (issue: boolean, keyName: Buffer | null, tls13: boolean, serverName: string | null)
// => number | [name, aesKey, hmacKey, status]; lib/tls/ticket-key-callback.ts checks what it
// returns and lets nothing be thrown. Returns whether it was set.
Napi::Value SetTicketKeyCallback(const Napi::CallbackInfo& info);

bool InitializeJsCallbacks();

}  // namespace ticket_keys

#endif  // NATIVE_BINDING_JS_CALLBACK_H_
