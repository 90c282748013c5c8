// The server_name extension as the client sent it, and the name as OpenSSL gives it.
#include <cstdlib>

#include "../client_hello.h"

namespace {

void CheckNormal(const ticket_keys::ServerName& name) {
  if (name.length == 0) std::abort();
  for (size_t i = 0; i < name.length; i++) {
    if (name.bytes[i] >= 'A' && name.bytes[i] <= 'Z') std::abort();
  }
  ticket_keys::ServerName again;
  if (name.bytes[name.length - 1] != '.' &&
      (!ticket_keys::NormalizeServerName(name.bytes.data(), name.length, &again) ||
       !(again == name))) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ticket_keys::ServerName name;
  if (ticket_keys::ReadServerName(data, size, &name)) CheckNormal(name);
  ticket_keys::ServerName bare;
  if (ticket_keys::NormalizeServerName(reinterpret_cast<const char*>(data), size, &bare)) {
    CheckNormal(bare);
  }
  return 0;
}
