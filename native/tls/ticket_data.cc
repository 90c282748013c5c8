#include "tls/ticket_data.h"

#include <algorithm>
#include <cstring>

namespace ticket_keys {
namespace {

// Increment with every change of the layout. A record of another version is refused.
constexpr uint8_t kVersion = 1;
constexpr uint8_t kExtendedMasterSecret = 1;
constexpr size_t kFixedSize = TicketData::kMaxSize - 255;

void WriteUint64(uint64_t value, uint8_t** out) {
  for (int shift = 56; shift >= 0; shift -= 8) *(*out)++ = static_cast<uint8_t>(value >> shift);
}

uint64_t ReadUint64(const uint8_t** in) {
  uint64_t value = 0;
  for (int i = 0; i < 8; i++) value = value << 8 | *(*in)++;
  return value;
}

}  // namespace

bool ServerName::operator==(const ServerName& other) const {
  return length == other.length && std::memcmp(bytes.data(), other.bytes.data(), length) == 0;
}

bool NormalizeServerName(const char* bytes, size_t length, ServerName* name) {
  const size_t given = length;
  if (length > 1 && bytes[length - 1] == '.') length--;
  if (length == 0 || length > name->bytes.size()) return false;
  // ASCII only, in any locale: names on the wire are A-labels (RFC 6066 section 3).
  std::transform(bytes, bytes + length, name->bytes.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  name->length = static_cast<uint8_t>(length);
  name->normal = length == given && std::memcmp(bytes, name->bytes.data(), length) == 0;
  return true;
}

size_t TicketData::Write(uint8_t* out) const {
  const uint8_t* const start = out;
  *out++ = kVersion;
  *out++ = extended_master_secret ? kExtendedMasterSecret : 0;
  *out++ = verify_mode;
  *out++ = chain_strength;
  WriteUint64(authenticated_at, &out);
  WriteUint64(issued_at, &out);
  WriteUint64(chain_end, &out);
  out = std::copy(client_policy.begin(), client_policy.end(), out);
  *out++ = server_name.length;
  out = std::copy_n(server_name.bytes.begin(), server_name.length, out);
  return static_cast<size_t>(out - start);
}

bool TicketData::Read(const uint8_t* in, size_t length) {
  if (length < kFixedSize || in[0] != kVersion || (in[1] & ~kExtendedMasterSecret) != 0 ||
      length != kFixedSize + in[kFixedSize - 1]) {
    return false;
  }
  extended_master_secret = (in[1] & kExtendedMasterSecret) != 0;
  verify_mode = in[2];
  chain_strength = in[3];
  in += 4;
  authenticated_at = ReadUint64(&in);
  issued_at = ReadUint64(&in);
  chain_end = ReadUint64(&in);
  std::copy_n(in, client_policy.size(), client_policy.begin());
  in += client_policy.size();
  server_name.length = *in++;
  std::copy_n(in, server_name.length, server_name.bytes.begin());
  return true;
}

}  // namespace ticket_keys
