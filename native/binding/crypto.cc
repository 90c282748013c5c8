#include "binding/crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <memory>

namespace ticket_keys {
namespace {

using Bytes = Napi::Buffer<uint8_t>;

constexpr size_t kTagLength = 16;
constexpr size_t kKeyLength = 32;
constexpr size_t kIvLength = 12;

template <typename Type, void (*kFree)(Type*)>
struct Free {
  void operator()(Type* object) const { kFree(object); }
};
using Kdf = std::unique_ptr<EVP_KDF, Free<EVP_KDF, EVP_KDF_free>>;
using KdfContext = std::unique_ptr<EVP_KDF_CTX, Free<EVP_KDF_CTX, EVP_KDF_CTX_free>>;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, Free<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>>;

// Removes the entries that a failure leaves in OpenSSL's error queue. The next user of the queue is
// a handshake.
class ErrorQueueMark final {
 public:
  ErrorQueueMark() { ERR_set_mark(); }
  ~ErrorQueueMark() { ERR_pop_to_mark(); }
  ErrorQueueMark(const ErrorQueueMark&) = delete;
  ErrorQueueMark& operator=(const ErrorQueueMark&) = delete;
};

// Starts AES-256-GCM and passes the associated data to it. Returns nullptr if OpenSSL fails.
CipherContext StartGcm(bool encrypt, const Bytes& key, const Bytes& iv, const Bytes& associated) {
  if (key.Length() != kKeyLength || iv.Length() != kIvLength) return nullptr;
  CipherContext context(EVP_CIPHER_CTX_new());
  int written = 0;
  if (context == nullptr ||
      EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.Data(), iv.Data(),
                        encrypt ? 1 : 0) != 1 ||
      EVP_CipherUpdate(context.get(), nullptr, &written, associated.Data(),
                       static_cast<int>(associated.Length())) != 1) {
    return nullptr;
  }
  return context;
}

// Encrypts or decrypts `length` bytes, and ends the message. Returns false if OpenSSL fails.
bool FinishGcm(const CipherContext& context, const uint8_t* in, size_t length, uint8_t* out) {
  int written = 0;
  return EVP_CipherUpdate(context.get(), out, &written, in, static_cast<int>(length)) == 1 &&
         EVP_CipherFinal_ex(context.get(), out + written, &written) == 1;
}

}  // namespace

Napi::Value Hkdf(const Napi::CallbackInfo& info) {
  auto secret = info[0].As<Bytes>();
  auto salt = info[1].As<Bytes>();
  auto label = info[2].As<Bytes>();
  auto out = info[3].As<Bytes>();
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret.Data(), secret.Length()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.Data(), salt.Length()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, label.Data(), label.Length()),
      OSSL_PARAM_construct_end()};
  const ErrorQueueMark mark;
  const Kdf kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  const KdfContext context(EVP_KDF_CTX_new(kdf.get()));
  const bool done = EVP_KDF_derive(context.get(), out.Data(), out.Length(), params) == 1;
  return Napi::Boolean::New(info.Env(), done);
}

Napi::Value Seal(const Napi::CallbackInfo& info) {
  auto plain = info[3].As<Bytes>();
  auto out = info[4].As<Bytes>();
  const ErrorQueueMark mark;
  const CipherContext context =
      StartGcm(true, info[0].As<Bytes>(), info[1].As<Bytes>(), info[2].As<Bytes>());
  const bool done =
      context != nullptr && out.Length() == plain.Length() + kTagLength &&
      FinishGcm(context, plain.Data(), plain.Length(), out.Data()) &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(kTagLength),
                          out.Data() + plain.Length()) == 1;
  return Napi::Boolean::New(info.Env(), done);
}

Napi::Value Open(const Napi::CallbackInfo& info) {
  auto sealed = info[3].As<Bytes>();
  auto out = info[4].As<Bytes>();
  const ErrorQueueMark mark;
  const CipherContext context =
      StartGcm(false, info[0].As<Bytes>(), info[1].As<Bytes>(), info[2].As<Bytes>());
  const bool done =
      context != nullptr && sealed.Length() == out.Length() + kTagLength &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, static_cast<int>(kTagLength),
                          sealed.Data() + out.Length()) == 1 &&
      FinishGcm(context, sealed.Data(), out.Length(), out.Data());
  if (!done) OPENSSL_cleanse(out.Data(), out.Length());
  return Napi::Boolean::New(info.Env(), done);
}

}  // namespace ticket_keys
