#include <napi.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <set>

#include "binding/context_capture.h"
#include "binding/crypto.h"
#include "binding/js_callback.h"
#include "binding/manager_binding.h"
#include "binding/session_data.h"
#include "keys/counters.h"
#include "keys/secret_memory.h"
#include "tls/client_trust.h"
#include "tls/ssl_state.h"

namespace ticket_keys {
namespace {

// allocateSecret(bytes): returns a Buffer in locked memory. The memory is cleansed when the Buffer
// is garbage-collected.
Napi::Value AllocateSecret(const Napi::CallbackInfo& info) {
  auto memory = SecretMemory::Allocate(info[0].As<Napi::Number>().Uint32Value());
  if (memory == nullptr) {
    Napi::Error::New(info.Env(), kOutOfSecretMemory).ThrowAsJavaScriptException();
    return info.Env().Null();
  }
  uint8_t* data = memory->data();
  const size_t size = memory->size();
  return Napi::Buffer<uint8_t>::New(
      info.Env(), data, size, [](Napi::Env, uint8_t*, SecretMemory* owner) { delete owner; },
      memory.release());
}

// cleanse(buffer): zeroes the buffer. The compiler cannot optimize OPENSSL_cleanse away.
void Cleanse(const Napi::CallbackInfo& info) {
  auto bytes = info[0].As<Napi::Buffer<uint8_t>>();
  OPENSSL_cleanse(bytes.Data(), bytes.Length());
}

// Reads digests of 32 bytes each.
std::set<TrustDigest> ReadDigests(const Napi::Value& value) {
  const auto bytes = value.As<Napi::Buffer<uint8_t>>();
  std::set<TrustDigest> digests;
  TrustDigest digest;
  for (size_t at = 0; at + digest.size() <= bytes.Length(); at += digest.size()) {
    std::copy_n(bytes.Data() + at, digest.size(), digest.begin());
    digests.insert(digest);
  }
  return digests;
}

// trustDigest(context, bundled, unlisted): what a context accepts client certificates by, 32 bytes;
// null if OpenSSL fails.
Napi::Value DigestTrustOf(const Napi::CallbackInfo& info) {
  const std::optional<TrustDigest> digest =
      DigestTrust(ContextOf(info[0]), ReadDigests(info[1]), info[2].As<Napi::Boolean>().Value());
  if (!digest.has_value()) return info.Env().Null();
  return Napi::Buffer<uint8_t>::Copy(info.Env(), digest->data(), digest->size());
}

// hasBundledRoots(context, bundled): whether a context has all these certificates.
Napi::Value HasBundledRootsOf(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), HasBundledRoots(ContextOf(info[0]), ReadDigests(info[1])));
}

// storeOf(context): identifies the CA store of a context while the context exists.
Napi::Value StoreOf(const Napi::CallbackInfo& info) {
  const auto* store = SSL_CTX_get_cert_store(ContextOf(info[0]));
  return Napi::BigInt::New(info.Env(), static_cast<uint64_t>(reinterpret_cast<uintptr_t>(store)));
}

template <size_t kCount>
Napi::Array NamesOf(Napi::Env env, const std::array<const char*, kCount>& names) {
  const Napi::Array list = Napi::Array::New(env);
  for (uint32_t i = 0; i < kCount; i++) list.Set(i, names[i]);
  return list;
}

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  if (OPENSSL_version_major() != 3 || !InitializeHandshakes() || !InitializeJsCallbacks()) {
    Napi::Error::New(env, "needs OpenSSL 3").ThrowAsJavaScriptException();
    return exports;
  }
  exports.Set("Manager", ManagerBinding::Define(env));
  exports.Set("captureContext", Napi::Function::New(env, CaptureContext));
  exports.Set("keptData", Napi::Function::New(env, KeptDataOf));
  exports.Set("setTicketKeyCallback", Napi::Function::New(env, SetTicketKeyCallback));
  exports.Set("allocateSecret", Napi::Function::New(env, AllocateSecret));
  exports.Set("cleanse", Napi::Function::New(env, Cleanse));
  exports.Set("trustDigest", Napi::Function::New(env, DigestTrustOf));
  exports.Set("hasBundledRoots", Napi::Function::New(env, HasBundledRootsOf));
  exports.Set("storeOf", Napi::Function::New(env, StoreOf));
  exports.Set("hkdf", Napi::Function::New(env, Hkdf));
  exports.Set("seal", Napi::Function::New(env, Seal));
  exports.Set("open", Napi::Function::New(env, Open));
  const Napi::Array bounds = Napi::Array::New(env);
  for (uint32_t i = 0; i < kAgeBounds.size(); i++) bounds.Set(i, kAgeBounds[i]);
  exports.Set("ageBounds", bounds);
  exports.Set("protocols", NamesOf(env, kProtocolNames));
  exports.Set("reasons", NamesOf(env, kReasonNames));
  exports.Set("counterCount", static_cast<double>(Counters::kSize));
  return exports;
}

}  // namespace
}  // namespace ticket_keys

static Napi::Object InitializeAddon(Napi::Env env, Napi::Object exports) {
  return ticket_keys::Initialize(env, exports);
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, InitializeAddon)
