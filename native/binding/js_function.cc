#include "binding/js_function.h"

#include <utility>

namespace ticket_keys {
namespace {

// No destructor: with one, each thread would have to register it, and musl has no function for
// that.
thread_local std::shared_ptr<JsEnvironment>* present = nullptr;

void OnEnvironmentEnd(void* data) {
  const std::unique_ptr<std::shared_ptr<JsEnvironment>> environment(
      static_cast<std::shared_ptr<JsEnvironment>*>(data));
  if (present == environment.get()) present = nullptr;
  (*environment)->alive = false;
  (*environment)->dropped.clear();
}

std::shared_ptr<JsEnvironment> EnvironmentOf(const Napi::Env& env) {
  if (present == nullptr) {
    present = std::make_unique<std::shared_ptr<JsEnvironment>>(std::make_shared<JsEnvironment>())
                  .release();
    napi_add_env_cleanup_hook(env, OnEnvironmentEnd, present);
  }
  (*present)->dropped.clear();
  return *present;
}

}  // namespace

JsFunction::JsFunction(const Napi::Function& function)
    : function_(std::make_unique<Napi::FunctionReference>(Napi::Persistent(function))),
      environment_(EnvironmentOf(function.Env())) {}

JsFunction::~JsFunction() {
  if (environment_->alive) {
    environment_->dropped.push_back(std::move(function_));
  } else {
    // The environment has freed the function. The reference must not be touched.
    function_->SuppressDestruct();
  }
}

}  // namespace ticket_keys
