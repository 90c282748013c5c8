// Application data of a ticket: written by this package, but maybe by another version of it.
#include "../ticket_data.h"

#include <cstdlib>
#include <cstring>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ticket_keys::TicketData read;
  if (!read.Read(data, size)) return 0;
  // What is taken is taken whole: it must come out as it went in.
  uint8_t written[ticket_keys::TicketData::kMaxSize];
  const size_t length = read.Write(written);
  if (length != size || std::memcmp(written, data, size) != 0) std::abort();
  return 0;
}
