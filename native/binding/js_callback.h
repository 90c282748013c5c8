#ifndef NATIVE_BINDING_JS_CALLBACK_H_
#define NATIVE_BINDING_JS_CALLBACK_H_

#include <napi.h>

namespace ticket_keys {

// setTicketKeyCallback(context, decide): sets OpenSSL's ticket key callback. The JavaScript
// function `decide` answers it:
//   (issue: boolean, keyName: Buffer | null, tls13: boolean, serverName: string | null)
//     => number | [name, aesKey, hmacKey, status]
// lib/tls/ticket-key-callback.ts wraps the user's function, checks its result and catches its
// exceptions. Returns whether OpenSSL accepted the callback.
Napi::Value SetTicketKeyCallback(const Napi::CallbackInfo& info);

bool InitializeJsCallbacks();

}  // namespace ticket_keys

#endif  // NATIVE_BINDING_JS_CALLBACK_H_
