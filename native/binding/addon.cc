#include <napi.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>

#include "binding/context_capture.h"
#include "binding/js_callback.h"
#include "binding/manager_binding.h"
#include "keys/counters.h"
#include "keys/secret_memory.h"
#include "tls/client_trust.h"
#include "tls/ssl_state.h"

namespace ticket_keys {
namespace {

// allocateSecret(bytes): a Buffer in locked memory, cleansed when it is collected.
Napi::Value AllocateSecret(const Napi::CallbackInfo& info) {
  auto memory = std::make_unique<SecretMemory>(info[0].As<Napi::Number>().Uint32Value());
  uint8_t* data = memory->data();
  const size_t size = memory->size();
  return Napi::Buffer<uint8_t>::New(
      info.Env(), data, size, [](Napi::Env, uint8_t*, SecretMemory* owner) { delete owner; },
      memory.release());
}

// cleanse(buffer): zeros that the compiler may not leave out.
void Cleanse(const Napi::CallbackInfo& info) {
  auto bytes = info[0].As<Napi::Buffer<uint8_t>>();
  OPENSSL_cleanse(bytes.Data(), bytes.Length());
}

// hkdf(secret, salt, label, out): HKDF-SHA256 (RFC 5869), without the copies of the secret that
// node:crypto makes.
Napi::Value Hkdf(const Napi::CallbackInfo& info) {
  auto secret = info[0].As<Napi::Buffer<uint8_t>>();
  auto salt = info[1].As<Napi::Buffer<uint8_t>>();
  auto label = info[2].As<Napi::Buffer<uint8_t>>();
  auto out = info[3].As<Napi::Buffer<uint8_t>>();
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret.Data(), secret.Length()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.Data(), salt.Length()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, label.Data(), label.Length()),
      OSSL_PARAM_construct_end()};
  ERR_set_mark();
  EVP_KDF* kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  EVP_KDF_CTX* context = EVP_KDF_CTX_new(kdf);
  const bool done = EVP_KDF_derive(context, out.Data(), out.Length(), params) == 1;
  EVP_KDF_CTX_free(context);
  EVP_KDF_free(kdf);
  ERR_pop_to_mark();
  return Napi::Boolean::New(info.Env(), done);
}

// trustDigest(context, rootContext): what a context takes client certificates by, 32 bytes; null
// where OpenSSL failed.
Napi::Value DigestTrustOf(const Napi::CallbackInfo& info) {
  const std::optional<TrustDigest> digest = DigestTrust(ContextOf(info[0]), ContextOf(info[1]));
  if (!digest.has_value()) return info.Env().Null();
  return Napi::Buffer<uint8_t>::Copy(info.Env(), digest->data(), digest->size());
}

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  if (OPENSSL_version_major() != 3 || !InitializeHandshakes() || !InitializeJsCallbacks()) {
    Napi::Error::New(env, "needs OpenSSL 3").ThrowAsJavaScriptException();
    return exports;
  }
  exports.Set("Manager", ManagerBinding::Define(env));
  exports.Set("captureContext", Napi::Function::New(env, CaptureContext));
  exports.Set("setTicketKeyCallback", Napi::Function::New(env, SetTicketKeyCallback));
  exports.Set("allocateSecret", Napi::Function::New(env, AllocateSecret));
  exports.Set("cleanse", Napi::Function::New(env, Cleanse));
  exports.Set("trustDigest", Napi::Function::New(env, DigestTrustOf));
  exports.Set("hkdf", Napi::Function::New(env, Hkdf));
  const Napi::Array bounds = Napi::Array::New(env);
  for (uint32_t i = 0; i < kAgeBounds.size(); i++) bounds.Set(i, kAgeBounds[i]);
  exports.Set("ageBounds", bounds);
  exports.Set("counterCount", static_cast<double>(Counters::kSize));
  return exports;
}

}  // namespace
}  // namespace ticket_keys

static Napi::Object InitializeAddon(Napi::Env env, Napi::Object exports) {
  return ticket_keys::Initialize(env, exports);
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, InitializeAddon)
