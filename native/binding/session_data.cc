#include "binding/session_data.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/tls1.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "binding/js_function.h"
#include "tls/ssl_state.h"

namespace ticket_keys {
namespace {

using Bytes = Napi::Buffer<uint8_t>;

Napi::Value ServerNameOf(const Napi::Env& env, const SSL* ssl) {
  const char* sent = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  ServerName name;
  if (sent == nullptr || !NormalizeServerName(sent, std::strlen(sent), &name)) return env.Null();
  return Napi::String::New(env, name.bytes.data(), name.length);
}

// Node.js sets `socket.authorized` later.
bool IsAuthorized(const SSL* ssl) {
  return (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0 &&
         SSL_get0_peer_certificate(ssl) != nullptr && SSL_get_verify_result(ssl) == X509_V_OK;
}

// The verified chain in DER. Empty if the client was not verified: OpenSSL then has the chain as
// far as it was built.
Napi::Array ChainOf(const Napi::Env& env, SSL* ssl) {
  const Napi::Array list = Napi::Array::New(env);
  if (!IsAuthorized(ssl)) return list;
  const STACK_OF(X509)* chain = SSL_get0_verified_chain(ssl);
  for (int i = 0; i < sk_X509_num(chain); i++) {
    uint8_t* der = nullptr;
    const int length = i2d_X509(sk_X509_value(chain, i), &der);
    if (length <= 0) continue;
    list.Set(static_cast<uint32_t>(i), Bytes::Copy(env, der, static_cast<size_t>(length)));
    OPENSSL_free(der);
  }
  return list;
}

bool Ask(const JsFunction& function, SSL* ssl, std::optional<SessionData>* data) {
  const Napi::Env env = function.env();
  const Napi::HandleScope scope(env);
  // Do not use napi_make_callback: it would run microtasks in the middle of the handshake.
  const Napi::Value answer = function.reference().Call(
      {Napi::Boolean::New(env, SSL_version(ssl) == TLS1_3_VERSION), ServerNameOf(env, ssl),
       Napi::Boolean::New(env, IsAuthorized(ssl)), ChainOf(env, ssl)});
  if (env.IsExceptionPending()) {
    // lib/tls/session-data.ts catches exceptions of the user's function. Here, the stack has
    // overflowed or the thread is being terminated.
    env.GetAndClearPendingException();
    return false;
  }
  if (answer.IsNull()) return true;
  if (!answer.IsBuffer()) return false;
  const auto bytes = answer.As<Bytes>();
  const size_t length = std::min(bytes.Length(), SessionData::kMaxSize);
  data->emplace().length = static_cast<uint16_t>(length);
  std::copy_n(bytes.Data(), length, (*data)->bytes.begin());
  return true;
}

}  // namespace

AskSessionData ReadSessionDataFunction(const Napi::Value& value) {
  if (!value.IsFunction()) return nullptr;
  const auto function = std::make_shared<JsFunction>(value.As<Napi::Function>());
  return [function](SSL* ssl, std::optional<SessionData>* data) {
    if (!function->alive()) return false;
    // Errors that the user's code leaves in OpenSSL's error queue would end the handshake.
    ERR_set_mark();
    const bool done = Ask(*function, ssl, data);
    ERR_pop_to_mark();
    return done;
  };
}

Napi::Value KeptDataOf(const Napi::CallbackInfo& info) {
  SSL* ssl = nullptr;
  Handshake* handshake = Handshake::Finishing(&ssl);
  const std::shared_ptr<KeptData> kept = handshake == nullptr ? nullptr : handshake->Kept(ssl);
  if (kept == nullptr) return info.Env().Null();
  return Napi::Function::New(info.Env(), [kept](const Napi::CallbackInfo& call) -> Napi::Value {
    kept->Ask();
    const std::optional<SessionData>& data = kept->data();
    if (!data.has_value()) return call.Env().Null();
    return Bytes::Copy(call.Env(), data->bytes.data(), data->length);
  });
}

}  // namespace ticket_keys
