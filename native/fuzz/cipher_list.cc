// Fuzzes the cipher suites of a ClientHello. A suite must be found if and only if its two bytes are
// an entry of the list.

#include <cstdlib>

#include "tls/client_hello.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t length) {
  if (length < 2) return 0;
  const auto wanted = static_cast<uint16_t>(input[0] << 8 | input[1]);
  const uint8_t* list = input + 2;
  const size_t size = length - 2;
  bool there = false;
  for (size_t i = 0; i < size / 2; i++) {
    there = there || (list[2 * i] == input[0] && list[2 * i + 1] == input[1]);
  }
  if (ticket_keys::OffersCipher(list, size, wanted) != there) std::abort();
  return 0;
}
