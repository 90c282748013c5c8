// Fuzzes the key_share extension of a ClientHello: the group of its first entry.

#include <cstdlib>

#include "tls/client_hello.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t length) {
  const uint16_t group = ticket_keys::ReadFirstShareGroup(input, length);
  const int expected = length < 4 ? 0 : input[2] << 8 | input[3];
  if (group != expected) std::abort();
  return 0;
}
