#include "tls/client_hello.h"

namespace ticket_keys {
namespace {

constexpr uint8_t kHostName = 0;

size_t ReadUint16(const uint8_t* in) { return static_cast<size_t>(in[0]) << 8 | in[1]; }

}  // namespace

bool ReadServerName(const uint8_t* extension, size_t length, ServerName* name) {
  // The extension contains the list length, the type, the name length and the name. host_name is
  // the only type, and a list has at most one name of each type.
  if (length < 5 || ReadUint16(extension) != length - 2 || extension[2] != kHostName ||
      ReadUint16(extension + 3) != length - 5) {
    return false;
  }
  return NormalizeServerName(reinterpret_cast<const char*>(extension + 5), length - 5, name);
}

uint16_t ReadFirstShareGroup(const uint8_t* extension, size_t length) {
  return length < 4 ? 0 : static_cast<uint16_t>(ReadUint16(extension + 2));
}

bool OffersCipher(const uint8_t* suites, size_t length, uint16_t cipher) {
  for (size_t i = 0; i + 1 < length; i += 2) {
    if (ReadUint16(suites + i) == cipher) return true;
  }
  return false;
}

}  // namespace ticket_keys
