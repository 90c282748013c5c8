#include <algorithm>
#include <optional>
#include <string>

#include "binding/manager_binding.h"

namespace ticket_keys {
namespace {

using Bytes = Napi::Buffer<uint8_t>;

std::optional<std::string> ReadCondition(const Napi::Value& value) {
  if (!value.IsBuffer()) return std::nullopt;
  const auto bytes = value.As<Bytes>();
  return std::string(reinterpret_cast<const char*>(bytes.Data()), bytes.Length());
}

}  // namespace

Napi::Value ManagerBinding::RevokeSessions(const Napi::CallbackInfo& info) {
  const auto given = info[0].As<Napi::Object>();
  RevocationConditions conditions;
  conditions.server_name = ReadCondition(given.Get("serverName"));
  conditions.fingerprint = ReadCondition(given.Get("fingerprint"));
  conditions.data_prefix = ReadCondition(given.Get("dataPrefix"));
  const Napi::Value before = given.Get("before");
  const double until =
      before.IsNumber() ? before.As<Napi::Number>().DoubleValue() : manager_->LatestSession();
  const Condition condition = conditions.fingerprint.has_value()   ? Condition::kFingerprint
                              : conditions.server_name.has_value() ? Condition::kServerName
                              : conditions.data_prefix.has_value() ? Condition::kData
                                                                   : Condition::kAll;
  bool widened = false;
  if (condition == Condition::kAll) {
    manager_->RevokeAll(until);
  } else {
    widened = !manager_->Revoke(conditions, until);
  }
  manager_->counters.Revoked(condition);
  const Napi::Object result = Napi::Object::New(info.Env());
  result.Set("until", widened ? std::max(until, manager_->revoked_until()) : until);
  result.Set("widened", Napi::Boolean::New(info.Env(), widened));
  return result;
}

Napi::Value ManagerBinding::RevokedUntil(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), manager_->revoked_until());
}

Napi::Value ManagerBinding::Revocations(const Napi::CallbackInfo& info) {
  const size_t count = manager_->revocations.Count(manager_->Now());
  return Napi::Number::New(info.Env(), static_cast<double>(count));
}

}  // namespace ticket_keys
