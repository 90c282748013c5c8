#ifndef NATIVE_BINDING_MANAGER_BINDING_H_
#define NATIVE_BINDING_MANAGER_BINDING_H_

#include <napi.h>

#include <memory>

#include "keys/ticket_manager.h"

namespace ticket_keys {

// TicketManager for JavaScript. lib/native/types.ts has the types and what each method is for;
// arguments are checked there.
class ManagerBinding final : public Napi::ObjectWrap<ManagerBinding> {
 public:
  static Napi::Function Define(Napi::Env env);
  // new Manager(options) makes one; new Manager(handle) opens one that another thread has made.
  explicit ManagerBinding(const Napi::CallbackInfo& info);
  ~ManagerBinding() override;

 private:
  Napi::Value Handle(const Napi::CallbackInfo& info);
  void SetRing(const Napi::CallbackInfo& info);
  Napi::Value KeyTimes(const Napi::CallbackInfo& info);
  Napi::Value ExportKeys(const Napi::CallbackInfo& info);
  Napi::Value Attach(const Napi::CallbackInfo& info);
  void AddHosts(const Napi::CallbackInfo& info);
  void HostsChanged(const Napi::CallbackInfo& info);
  Napi::Value HandshakeDone(const Napi::CallbackInfo& info);
  void ReadCounters(const Napi::CallbackInfo& info);
  void RevokeSessions(const Napi::CallbackInfo& info);
  void SetClockOffset(const Napi::CallbackInfo& info);
  void OnNoCurrentKey(const Napi::CallbackInfo& info);
  Napi::Value MemoryLocked(const Napi::CallbackInfo& info);

  void DropWake();
  static void OnEnvironmentEnd(void* self);

  const napi_env env_;
  std::shared_ptr<TicketManager> manager_;
  // Calls JavaScript when no key could issue; kept from holding the process open.
  std::unique_ptr<Napi::ThreadSafeFunction> wake_;
};

}  // namespace ticket_keys

#endif  // NATIVE_BINDING_MANAGER_BINDING_H_
