#include "binding/js_callback.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/tls1.h>

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include "binding/context_capture.h"
#include "binding/js_function.h"
#include "keys/key_ring.h"
#include "tls/client_hello.h"
#include "tls/ticket_crypto.h"

namespace ticket_keys {
namespace {

int context_index = -1;
int ssl_index = -1;

// The SSL_CTX holds one. Each SSL also holds one from its first ticket on, because SNI can change
// the context of an SSL.
using Holder = std::shared_ptr<JsFunction>;

void OnFree(void*, void* holder, CRYPTO_EX_DATA*, int, long, void*) {  // NOLINT(runtime/int)
  delete static_cast<Holder*>(holder);
}

int OnDuplicate(CRYPTO_EX_DATA*, const CRYPTO_EX_DATA*, void** from, int, long,
                void*) {  // NOLINT(runtime/int)
  *from = nullptr;
  return 1;
}

Napi::Value ServerNameOf(const Napi::Env& env, SSL* ssl, bool issue) {
  if (issue) {
    const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    return name == nullptr ? env.Null() : Napi::String::New(env, name);
  }
  const uint8_t* extension;
  size_t length;
  ServerName name;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &extension, &length) != 1 ||
      !ReadServerName(extension, length, &name)) {
    return env.Null();
  }
  return Napi::String::New(env, name.bytes.data(), name.length);
}

struct Decision final {
  int status = 0;
  bool has_key = false;
  Napi::Buffer<uint8_t> name, aes_key, hmac_key;
};

Decision Decide(const JsFunction& callback, SSL* ssl, const uint8_t* key_name) {
  const Napi::Env env = callback.env();
  const bool issue = key_name == nullptr;
  const Napi::Value asked =
      issue ? env.Null() : Napi::Value(Napi::Buffer<uint8_t>::Copy(env, key_name, kNameLength));
  // Do not use napi_make_callback: it would run microtasks in the middle of the handshake.
  const Napi::Value answer = callback.reference().Call(
      {Napi::Boolean::New(env, issue), asked,
       Napi::Boolean::New(env, SSL_version(ssl) == TLS1_3_VERSION), ServerNameOf(env, ssl, issue)});
  Decision decision;
  if (env.IsExceptionPending()) {
    // lib/tls/ticket-key-callback.ts catches exceptions of the user's function. Here, the stack has
    // overflowed or the thread is being terminated.
    env.GetAndClearPendingException();
  } else if (answer.IsNumber()) {
    decision.status = answer.As<Napi::Number>().Int32Value();
  } else if (answer.IsArray()) {
    const auto parts = answer.As<Napi::Array>();
    decision.name = parts.Get(0u).As<Napi::Buffer<uint8_t>>();
    decision.aes_key = parts.Get(1u).As<Napi::Buffer<uint8_t>>();
    decision.hmac_key = parts.Get(2u).As<Napi::Buffer<uint8_t>>();
    decision.status = parts.Get(3u).As<Napi::Number>().Int32Value();
    decision.has_key = true;
  }
  return decision;
}

const JsFunction* CallbackOf(SSL* ssl, const SSL_CTX* ssl_ctx) {
  auto* held = static_cast<Holder*>(SSL_get_ex_data(ssl, ssl_index));
  if (held != nullptr) return held->get();
  const auto* holder = static_cast<Holder*>(SSL_CTX_get_ex_data(ssl_ctx, context_index));
  if (holder == nullptr) return nullptr;
  // Without memory, the handshake continues without a ticket.
  std::unique_ptr<Holder> copy(new (std::nothrow) Holder(*holder));
  if (copy == nullptr || SSL_set_ex_data(ssl, ssl_index, copy.get()) != 1) return nullptr;
  return copy.release()->get();
}

// Runs before OpenSSL asks for a new ticket's key. `ssl_ctx` is the context that the connection
// began with.
int OnGenerate(SSL* ssl, void* ssl_ctx) {
  CallbackOf(ssl, static_cast<const SSL_CTX*>(ssl_ctx));
  return 1;
}

int OnTicketKey(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                EVP_MAC_CTX* mac, int encrypt) {
  const JsFunction* callback = CallbackOf(ssl, SSL_get_SSL_CTX(ssl));
  if (callback == nullptr || !callback->alive()) return 0;
  const Napi::HandleScope scope(callback->env());
  // Errors that the user's code leaves in OpenSSL's error queue would end the handshake.
  ERR_set_mark();
  const Decision decision = Decide(*callback, ssl, encrypt == 1 ? nullptr : name);
  ERR_pop_to_mark();
  if (!decision.has_key) return decision.status;
  const Direction direction = encrypt == 1 ? Direction::kEncrypt : Direction::kDecrypt;
  if (!InitTicketCipher(direction, decision.aes_key.Data(), decision.aes_key.Length(),
                        decision.hmac_key.Data(), decision.hmac_key.Length(), iv, cipher, mac)) {
    return 0;
  }
  if (encrypt == 1) std::copy_n(decision.name.Data(), kNameLength, name);
  return decision.status;
}

}  // namespace

bool InitializeJsCallbacks() {
  static const bool made = [] {
    context_index =
        CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, nullptr, nullptr, OnDuplicate, OnFree);
    ssl_index =
        CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, nullptr, nullptr, OnDuplicate, OnFree);
    return context_index >= 0 && ssl_index >= 0;
  }();
  return made;
}

Napi::Value SetTicketKeyCallback(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  SSL_CTX* ssl_ctx = ContextOf(info[0]);
  auto holder =
      std::make_unique<Holder>(std::make_shared<JsFunction>(info[1].As<Napi::Function>()));
  const std::unique_ptr<Holder> old(
      static_cast<Holder*>(SSL_CTX_get_ex_data(ssl_ctx, context_index)));
  // If ex_data is already set at this index, replacing it does not allocate and cannot fail.
  if (SSL_CTX_set_ex_data(ssl_ctx, context_index, holder.get()) != 1)
    return Napi::Boolean::New(env, false);
  holder.release();
  SSL_CTX_set_session_ticket_cb(ssl_ctx, OnGenerate, nullptr, ssl_ctx);
  return Napi::Boolean::New(env, SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl_ctx, OnTicketKey) == 1);
}

}  // namespace ticket_keys
