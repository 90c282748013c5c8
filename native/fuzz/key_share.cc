// The key_share extension as the client sent it.
#include <cstdlib>

#include "../client_hello.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const uint16_t group = ticket_keys::ReadFirstShareGroup(data, size);
  if (size < 4 ? group != 0 : group != (data[2] << 8 | data[3])) std::abort();
  return 0;
}
