#include "binding/context_capture.h"

#include "tls/ssl_state.h"

namespace ticket_keys {

SSL_CTX* CaptureContext(const Napi::Function& make_socket) {
  StartCapture();
  // The returned socket keeps the SSL alive in the caller's handle scope.
  const Napi::Value socket = make_socket.Call({});
  SSL* ssl = EndCapture();
  if (make_socket.Env().IsExceptionPending() || socket.IsEmpty() || ssl == nullptr) return nullptr;
  return SSL_get_SSL_CTX(ssl);
}

}  // namespace ticket_keys
