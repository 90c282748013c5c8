// Fuzzes the server_name extension of a ClientHello. A name must be read completely or not at all.

#include <cstdlib>

#include "tls/client_hello.h"

using ticket_keys::ServerName;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t length) {
  ServerName name;
  if (!ticket_keys::ReadServerName(input, length, &name)) {
    if (name.length != 0) std::abort();
    return 0;
  }
  // The lengths and the type take 5 bytes before the name. A trailing dot is removed.
  const size_t read = length - 5;
  if (name.length == 0 || (name.length != read && name.length + 1u != read)) std::abort();
  return 0;
}
