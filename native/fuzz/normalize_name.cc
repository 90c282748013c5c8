// Fuzzes the normalization of server names. The result must have no capitals, and a second
// normalization must change nothing.

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "tls/ticket_data.h"

using ticket_keys::NormalizeServerName;
using ticket_keys::ServerName;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t length) {
  const char* given = reinterpret_cast<const char*>(input);
  ServerName name;
  if (!NormalizeServerName(given, length, &name)) return 0;
  const char* begin = name.bytes.data();
  const char* end = begin + name.length;
  if (std::any_of(begin, end, [](char c) { return c >= 'A' && c <= 'Z'; })) std::abort();
  const bool same = length == name.length && std::memcmp(given, begin, length) == 0;
  if (name.normal != same) std::abort();
  // Only one trailing dot is removed, so the result may still end with a dot.
  if (end[-1] == '.') return 0;
  ServerName again;
  if (!NormalizeServerName(begin, name.length, &again)) std::abort();
  if (!again.normal || !(again == name)) std::abort();
  return 0;
}
