// The client's list of cipher suites; the first two bytes are the suite that is looked for.
#include <cstdlib>

#include "../client_hello.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const auto wanted = static_cast<uint16_t>(data[0] << 8 | data[1]);
  // The whole input is a list that begins with it; a trailing odd byte is no suite.
  if (!ticket_keys::OffersCipher(data, size, wanted)) std::abort();
  ticket_keys::OffersCipher(data + 2, size - 2, wanted);
  return 0;
}
