// Fuzzes the record in a ticket. A record that is read must be written again byte for byte. All
// other input must be refused.

#include "tls/ticket_data.h"

#include <cstdlib>
#include <cstring>

using ticket_keys::TicketData;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t length) {
  TicketData data;
  if (!data.Read(input, length)) return 0;
  uint8_t written[TicketData::kMaxSize];
  if (data.Write(written) != length || std::memcmp(written, input, length) != 0) std::abort();
  TicketData again;
  if (!again.Read(written, length) || !(again.server_name == data.server_name)) std::abort();
  return 0;
}
