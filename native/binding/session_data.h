#ifndef NATIVE_BINDING_SESSION_DATA_H_
#define NATIVE_BINDING_SESSION_DATA_H_

#include <napi.h>

#include "tls/attached_context.h"

namespace ticket_keys {

// Reads a function of lib/tls/session-data.ts, or null. The function is called in the middle of
// a handshake.
AskSessionData ReadSessionDataFunction(const Napi::Value& function);

// keptData(): inside 'secureConnection', a function that returns what the application keeps with
// the session (Buffer or null), or null if there is nothing to keep.
Napi::Value KeptDataOf(const Napi::CallbackInfo& info);

}  // namespace ticket_keys

#endif  // NATIVE_BINDING_SESSION_DATA_H_
