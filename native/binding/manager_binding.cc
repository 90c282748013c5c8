#include "binding/manager_binding.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "binding/context_capture.h"
#include "binding/session_data.h"
#include "tls/ssl_state.h"
#include "tls/ticket_callbacks.h"

namespace ticket_keys {
namespace {

using Bytes = Napi::Buffer<uint8_t>;

double NumberAt(const Napi::Object& object, const char* name) {
  return object.Get(name).As<Napi::Number>().DoubleValue();
}

bool FlagAt(const Napi::Object& object, const char* name) {
  return object.Get(name).As<Napi::Boolean>().Value();
}

std::vector<uint8_t> ReadBytes(const Napi::Value& value) {
  const auto bytes = value.As<Bytes>();
  return {bytes.Data(), bytes.Data() + bytes.Length()};
}

TicketOptions ReadOptions(const Napi::Object& given) {
  TicketOptions options;
  options.session_id_context = ReadBytes(given.Get("sessionIdContext"));
  options.ticket_lifetime = NumberAt(given, "ticketLifetime");
  options.max_session_age = NumberAt(given, "maxSessionAge");
  options.max_clock_skew = NumberAt(given, "maxClockSkew");
  options.tls12_tickets = FlagAt(given, "tls12Tickets");
  options.bind_server_name = FlagAt(given, "bindServerName");
  options.resume_sni_callback = FlagAt(given, "resumeSniCallback");
  options.tickets_per_handshake = static_cast<int>(NumberAt(given, "ticketsPerHandshake"));
  return options;
}

KeyName ReadName(const Napi::Value& value) {
  KeyName name;
  std::copy_n(value.As<Bytes>().Data(), kNameLength, name.begin());
  return name;
}

PolicyDigest ReadPolicy(const Napi::Value& value) {
  PolicyDigest digest;
  std::copy_n(value.As<Bytes>().Data(), digest.size(), digest.begin());
  return digest;
}

}  // namespace

Napi::Function ManagerBinding::Define(Napi::Env env) {
  return DefineClass(env, "Manager",
                     {InstanceAccessor<&ManagerBinding::Handle>("handle"),
                      InstanceAccessor<&ManagerBinding::MemoryLocked>("memoryLocked"),
                      InstanceAccessor<&ManagerBinding::RevokedUntil>("revokedUntil"),
                      InstanceAccessor<&ManagerBinding::Revocations>("revocations"),
                      InstanceMethod<&ManagerBinding::SetRing>("setRing"),
                      InstanceMethod<&ManagerBinding::KeyTimes>("keyTimes"),
                      InstanceMethod<&ManagerBinding::ExportKeys>("exportKeys"),
                      InstanceMethod<&ManagerBinding::Attach>("attach"),
                      InstanceMethod<&ManagerBinding::AddHosts>("addHosts"),
                      InstanceMethod<&ManagerBinding::HostsChanged>("hostsChanged"),
                      InstanceMethod<&ManagerBinding::HandshakeDone>("handshakeDone"),
                      InstanceMethod<&ManagerBinding::ReadCounters>("readCounters"),
                      InstanceMethod<&ManagerBinding::RevokeSessions>("revokeSessions"),
                      InstanceMethod<&ManagerBinding::SetClockOffset>("setClockOffset"),
                      InstanceMethod<&ManagerBinding::OnNoCurrentKey>("onNoCurrentKey")});
}

ManagerBinding::ManagerBinding(const Napi::CallbackInfo& info)
    : ObjectWrap(info), env_(info.Env()) {
  if (info[0].IsNumber()) {
    manager_ = TicketManager::Find(info[0].As<Napi::Number>().Uint32Value());
    if (manager_ == nullptr)
      Napi::Error::New(info.Env(), "no such manager").ThrowAsJavaScriptException();
  } else {
    manager_ = TicketManager::Make(ReadOptions(info[0].As<Napi::Object>()));
  }
}

ManagerBinding::~ManagerBinding() { DropWake(); }

Napi::Value ManagerBinding::Handle(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), manager_->handle());
}

Napi::Value ManagerBinding::MemoryLocked(const Napi::CallbackInfo& info) {
  bool locked = true;
  manager_->ReadRing(
      [&locked](const KeyRing* ring) { locked = ring == nullptr || ring->locked(); });
  return Napi::Boolean::New(info.Env(), locked);
}

Napi::Value ManagerBinding::SetRing(const Napi::CallbackInfo& info) {
  const auto given = info[0].As<Napi::Array>();
  const auto gone = info[1].As<Napi::Array>();
  std::vector<KeyInput> keys;
  std::vector<KeyName> expired;
  std::vector<Bytes> to_erase;
  for (uint32_t i = 0; i < given.Length(); i++) {
    const auto object = given.Get(i).As<Napi::Object>();
    KeyInput key = {ReadName(object.Get("name")),
                    NumberAt(object, "notBefore"),
                    NumberAt(object, "issueUntil"),
                    NumberAt(object, "acceptUntil"),
                    nullptr,
                    nullptr,
                    0};
    if (object.Get("aesKey").IsBuffer()) {
      const auto aes_key = object.Get("aesKey").As<Bytes>();
      const auto hmac_key = object.Get("hmacKey").As<Bytes>();
      key.aes_key = aes_key.Data();
      key.hmac_key = hmac_key.Data();
      key.key_length = aes_key.Length();
      to_erase.push_back(aes_key);
      to_erase.push_back(hmac_key);
    }
    keys.push_back(key);
  }
  for (uint32_t i = 0; i < gone.Length(); i++) expired.push_back(ReadName(gone.Get(i)));
  bool changed = false;
  const char* problem = manager_->SetRing(keys, expired, &changed);
  for (Bytes& bytes : to_erase) OPENSSL_cleanse(bytes.Data(), bytes.Length());
  manager_->ResetWake();
  if (problem != nullptr) Napi::Error::New(info.Env(), problem).ThrowAsJavaScriptException();
  return Napi::Boolean::New(info.Env(), changed);
}

Napi::Value ManagerBinding::KeyTimes(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Array list = Napi::Array::New(env);
  manager_->ReadRing([&](const KeyRing* ring) {
    if (ring == nullptr) return;
    uint32_t i = 0;
    for (const RingKey& key : ring->keys()) {
      if (key.key_length == 0) continue;
      const Napi::Object object = Napi::Object::New(env);
      object.Set("name", Bytes::Copy(env, key.name.data(), kNameLength));
      object.Set("notBefore", key.not_before);
      object.Set("issueUntil", key.issue_until);
      object.Set("acceptUntil", key.accept_until);
      list.Set(i++, object);
    }
  });
  return list;
}

Napi::Value ManagerBinding::ExportKeys(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto list = KeyTimes(info).As<Napi::Array>();
  // The caller allocates `out`, so that it is locked memory. A key takes 64 bytes: aesKey, hmacKey.
  auto out = info[0].As<Bytes>();
  manager_->ReadRing([&](const KeyRing* ring) {
    if (ring == nullptr) return;
    uint32_t i = 0;
    for (const RingKey& key : ring->keys()) {
      if (key.key_length == 0 || (i + 1) * 64 > out.Length()) continue;
      std::copy_n(key.aes_key, key.key_length, out.Data() + i * 64);
      std::copy_n(key.hmac_key, key.key_length, out.Data() + i * 64 + 32);
      list.Get(i++).As<Napi::Object>().Set(
          "keyLength", Napi::Number::New(env, static_cast<double>(key.key_length)));
    }
  });
  return list;
}

Napi::Value ManagerBinding::Attach(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  SSL_CTX* ssl_ctx = ContextOf(info[0]);
  const auto server = info[1].As<Napi::Object>();
  auto context = std::make_shared<AttachedContext>(
      manager_, ssl_ctx,
      ServerSettings{ReadPolicy(server.Get("policy")), FlagAt(server, "sniCallback"),
                     ReadBytes(server.Get("sessionIdContext")), NumberAt(server, "sessionTimeout"),
                     ReadSessionDataFunction(server.Get("sessionData"))});
  if (!ManageTickets(ssl_ctx, std::move(context))) {
    Napi::Error::New(env, "OpenSSL is out of memory").ThrowAsJavaScriptException();
    return env.Null();
  }
  const Napi::Object result = Napi::Object::New(env);
  result.Set("noTicket",
             Napi::Boolean::New(env, (SSL_CTX_get_options(ssl_ctx) & SSL_OP_NO_TICKET) != 0));
  return result;
}

void ManagerBinding::AddHosts(const Napi::CallbackInfo& info) {
  AttachedContext* attached = GetAttached(ContextOf(info[0]));
  const auto hosts = info[1].As<Napi::Array>();
  for (uint32_t i = 0; i < hosts.Length(); i++) {
    const Napi::Value value = hosts.Get(i);
    if (value.IsNull()) {
      attached->policies.AddUnknown();
      continue;
    }
    const auto host = value.As<Napi::Object>();
    attached->policies.Add(host.Get("pattern").As<Napi::String>().Utf8Value(),
                           ContextOf(host.Get("context")), ReadPolicy(host.Get("policy")));
  }
  attached->policies.set_complete(true);
}

void ManagerBinding::HostsChanged(const Napi::CallbackInfo& info) {
  GetAttached(ContextOf(info[0]))->policies.set_complete(false);
}

Napi::Value ManagerBinding::HandshakeDone(const Napi::CallbackInfo& info) {
  const bool tls13 = info[0].As<Napi::Boolean>().Value();
  const bool resumed = info[1].As<Napi::Boolean>().Value();
  const Protocol protocol = tls13 ? Protocol::kTls13 : Protocol::kTls12;
  manager_->counters.Handshake(protocol, resumed);
  const Handshake* handshake = Handshake::Finishing();
  // No managed ticket: a full handshake, an external PSK or a session ID.
  if (!resumed || handshake == nullptr || !handshake->accepted ||
      handshake->context->manager != manager_) {
    return info.Env().Null();
  }
  manager_->counters.Resumed(protocol, manager_->Now() - handshake->issued_at);
  auto ticket = info[2].As<Napi::Float64Array>();
  ticket[0] =
      static_cast<double>(static_cast<uint32_t>(handshake->name[0]) << 24 |
                          handshake->name[1] << 16 | handshake->name[2] << 8 | handshake->name[3]);
  ticket[1] = handshake->issued_at;
  ticket[2] = handshake->authenticated_at;
  return Napi::String::New(info.Env(), handshake->server_name);
}

void ManagerBinding::ReadCounters(const Napi::CallbackInfo& info) {
  manager_->counters.Read(info[0].As<Napi::Float64Array>().Data());
}

void ManagerBinding::SetClockOffset(const Napi::CallbackInfo& info) {
  manager_->set_clock_offset(info[0].As<Napi::Number>().DoubleValue());
}

void ManagerBinding::OnNoCurrentKey(const Napi::CallbackInfo& info) {
  DropWake();
  if (!info[0].IsFunction()) return;
  wake_ = std::make_unique<Napi::ThreadSafeFunction>(
      Napi::ThreadSafeFunction::New(info.Env(), info[0].As<Napi::Function>(), "ticket keys", 1, 1));
  wake_->Unref(info.Env());
  napi_add_env_cleanup_hook(env_, OnEnvironmentEnd, this);
  manager_->SetWake(
      [](void* data) { static_cast<Napi::ThreadSafeFunction*>(data)->NonBlockingCall(); },
      wake_.get());
}

void ManagerBinding::DropWake() {
  if (wake_ == nullptr) return;
  napi_remove_env_cleanup_hook(env_, OnEnvironmentEnd, this);
  manager_->SetWake(nullptr, nullptr);
  wake_->Release();
  wake_.reset();
}

// Node.js frees thread-safe functions in its own hook.
// That hook was added first and therefore runs last.
void ManagerBinding::OnEnvironmentEnd(void* self) {
  static_cast<ManagerBinding*>(self)->DropWake();
}

}  // namespace ticket_keys
