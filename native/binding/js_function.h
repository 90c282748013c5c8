#ifndef NATIVE_BINDING_JS_FUNCTION_H_
#define NATIVE_BINDING_JS_FUNCTION_H_

#include <napi.h>

#include <memory>
#include <vector>

namespace ticket_keys {

// The JavaScript environment of one thread. Garbage collection may free an SSL_CTX, and must not
// touch JavaScript handles. The functions of a freed SSL_CTX therefore wait in `dropped` until the
// thread makes another JsFunction, or until the environment ends.
struct JsEnvironment final {
  std::vector<std::unique_ptr<Napi::FunctionReference>> dropped;
  bool alive = true;
};

// A JavaScript function that an object of OpenSSL owns.
class JsFunction final {
 public:
  explicit JsFunction(const Napi::Function& function);
  ~JsFunction();
  JsFunction(const JsFunction&) = delete;
  JsFunction& operator=(const JsFunction&) = delete;

  // Whether the function can be called: its thread has not ended.
  bool alive() const { return environment_->alive; }
  Napi::Env env() const { return function_->Env(); }
  const Napi::FunctionReference& reference() const { return *function_; }

 private:
  std::unique_ptr<Napi::FunctionReference> function_;
  const std::shared_ptr<JsEnvironment> environment_;
};

}  // namespace ticket_keys

#endif  // NATIVE_BINDING_JS_FUNCTION_H_
