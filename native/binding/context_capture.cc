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
  SSL_CTX* context = SSL_get_SSL_CTX(ssl);
  if (context == nullptr || SSL_CTX_up_ref(context) != 1) return env.Null();
  return Napi::External<SSL_CTX>::New(env, context,
                                      [](Napi::Env, SSL_CTX* held) { SSL_CTX_free(held); });
}

SSL_CTX* ContextOf(const Napi::Value& captured) {
  return captured.As<Napi::External<SSL_CTX>>().Data();
}

}  // namespace ticket_keys
