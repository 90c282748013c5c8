#include "tls/ticket_data.h"

#include <algorithm>
#include <cstring>

namespace ticket_keys {
namespace {

// The first byte has the version in its upper half and the flags in its lower half. Increment the
// version with every change of the layout. A record of another version is refused.
constexpr uint8_t kVersion = 2 << 4;
constexpr uint8_t kVersionMask = 0xF0;
constexpr uint8_t kExtendedMasterSecret = 1;
constexpr uint8_t kHasClient = 2;
constexpr uint8_t kHasData = 4;
constexpr uint8_t kAllFlags = kExtendedMasterSecret | kHasClient | kHasData;

// Times take 48 bits, which is enough until the year 10889.
constexpr uint64_t kMaxTime = (uint64_t{1} << 48) - 1;

void WriteTime(uint64_t time, uint8_t** out) {
  time = std::min(time, kMaxTime);
  for (int shift = 40; shift >= 0; shift -= 8) *(*out)++ = static_cast<uint8_t>(time >> shift);
}

uint64_t ReadTime(const uint8_t** in) {
  uint64_t time = 0;
  for (int i = 0; i < 6; i++) time = time << 8 | *(*in)++;
  return time;
}

void WriteClient(const ClientVerification& client, uint8_t** out) {
  *(*out)++ = client.verify_mode;
  *(*out)++ = client.chain_strength;
  WriteTime(client.chain_end, out);
  *out = std::copy(client.policy.begin(), client.policy.end(), *out);
}

ClientVerification ReadClient(const uint8_t** in) {
  ClientVerification client;
  client.verify_mode = *(*in)++;
  client.chain_strength = *(*in)++;
  const uint64_t end = ReadTime(in);
  client.chain_end = end == kMaxTime ? UINT64_MAX : end;
  std::copy_n(*in, client.policy.size(), client.policy.begin());
  *in += client.policy.size();
  return client;
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
  *out++ = static_cast<uint8_t>(kVersion | (extended_master_secret ? kExtendedMasterSecret : 0) |
                                (client.has_value() ? kHasClient : 0) |
                                (data.has_value() ? kHasData : 0));
  WriteTime(authenticated_at, &out);
  WriteTime(issued_at, &out);
  if (client.has_value()) WriteClient(*client, &out);
  if (data.has_value()) {
    *out++ = static_cast<uint8_t>(data->length >> 8);
    *out++ = static_cast<uint8_t>(data->length);
    out = std::copy_n(data->bytes.begin(), data->length, out);
  }
  // The name has no length field: it takes the rest of the record.
  out = std::copy_n(server_name.bytes.begin(), server_name.length, out);
  return static_cast<size_t>(out - start);
}

bool TicketData::Read(const uint8_t* in, size_t length) {
  const uint8_t* const end = in + length;
  if (length < kFixedSize || (in[0] & kVersionMask) != kVersion) return false;
  const uint8_t flags = *in++ & ~kVersionMask;
  if ((flags & ~kAllFlags) != 0) return false;
  extended_master_secret = (flags & kExtendedMasterSecret) != 0;
  authenticated_at = ReadTime(&in);
  issued_at = ReadTime(&in);
  if ((flags & kHasClient) != 0) {
    if (static_cast<size_t>(end - in) < kClientSize) return false;
    client = ReadClient(&in);
  }
  if ((flags & kHasData) != 0) {
    if (end - in < 2) return false;
    const auto size = static_cast<uint16_t>(in[0] << 8 | in[1]);
    in += 2;
    if (size > SessionData::kMaxSize || size > end - in) return false;
    data.emplace().length = size;
    std::copy_n(in, size, data->bytes.begin());
    in += size;
  }
  const auto rest = static_cast<size_t>(end - in);
  if (rest > server_name.bytes.size()) return false;
  server_name.length = static_cast<uint8_t>(rest);
  std::copy_n(in, rest, server_name.bytes.begin());
  return true;
}

}  // namespace ticket_keys
