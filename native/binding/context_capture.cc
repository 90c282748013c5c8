#include "binding/context_capture.h"

#include "tls/ssl_state.h"

namespace ticket_keys {

Napi::Value CaptureContext(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  StartCapture();
  // The returned socket keeps the SSL alive in this handle scope.
  const Napi::Value socket = info[0].As<Napi::Function>().Call({});
  SSL* ssl = EndCapture();
  if (env.IsExceptionPending() || socket.IsEmpty() || ssl == nullptr) return env.Null();
  return Napi::BigInt::New(env, reinterpret_cast<uint64_t>(SSL_get_SSL_CTX(ssl)));
}

SSL_CTX* ContextOf(const Napi::Value& captured) {
  bool lossless = false;
  return reinterpret_cast<SSL_CTX*>(captured.As<Napi::BigInt>().Uint64Value(&lossless));
}

}  // namespace ticket_keys
