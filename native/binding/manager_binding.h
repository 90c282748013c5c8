#ifndef NATIVE_BINDING_MANAGER_BINDING_H_
#define NATIVE_BINDING_MANAGER_BINDING_H_

#include <napi.h>

#include <memory>

#include "keys/ticket_manager.h"

namespace ticket_keys {

// The JavaScript class of a TicketManager. lib/native/types.ts documents its methods and has their
// types. Arguments are not checked here.
class ManagerBinding final : public Napi::ObjectWrap<ManagerBinding> {
 public:
  static Napi::Function Define(Napi::Env env);
  // new Manager(options) creates a manager. new Manager(handle) opens a manager of another thread.
  explicit ManagerBinding(const Napi::CallbackInfo& info);
  ~ManagerBinding() override;

 private:
  Napi::Value Handle(const Napi::CallbackInfo& info);
  Napi::Value SetRing(const Napi::CallbackInfo& info);
  Napi::Value KeyTimes(const Napi::CallbackInfo& info);
  Napi::Value ExportKeys(const Napi::CallbackInfo& info);
  Napi::Value Attach(const Napi::CallbackInfo& info);
  void AddHosts(const Napi::CallbackInfo& info);
  void HostsChanged(const Napi::CallbackInfo& info);
  Napi::Value HandshakeDone(const Napi::CallbackInfo& info);
  void ReadCounters(const Napi::CallbackInfo& info);
  Napi::Value RevokeSessions(const Napi::CallbackInfo& info);
  Napi::Value RevokedUntil(const Napi::CallbackInfo& info);
  Napi::Value Revocations(const Napi::CallbackInfo& info);
  void SetClockOffset(const Napi::CallbackInfo& info);
  void OnNoCurrentKey(const Napi::CallbackInfo& info);
  Napi::Value MemoryLocked(const Napi::CallbackInfo& info);

  void DropWake();
  static void OnEnvironmentEnd(void* self);

  const napi_env env_;
  std::shared_ptr<TicketManager> manager_;
  // Calls JavaScript when no key can issue a ticket. Does not keep the process alive.
  std::unique_ptr<Napi::ThreadSafeFunction> wake_;
};

}  // namespace ticket_keys

#endif  // NATIVE_BINDING_MANAGER_BINDING_H_
