#ifndef NATIVE_TLS_TICKET_DATA_H_
#define NATIVE_TLS_TICKET_DATA_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "tls/ssl_state.h"

namespace ticket_keys {

// A server name in ASCII lower case without a trailing dot. At most 255 bytes (RFC
// 1035 section 2.3.4).
struct ServerName final {
  uint8_t length = 0;
  std::array<char, 255> bytes = {};
  // The name was received in this form. Not part of the comparison.
  bool normal = true;
  bool operator==(const ServerName& other) const;
};

// Returns false, without changing `name`, if the input is empty or too long.
bool NormalizeServerName(const char* bytes, size_t length, ServerName* name);

// The application data of a ticket, encrypted and authenticated with the session
// (SSL_SESSION_set1_ticket_appdata(3)). Times are in milliseconds since 1970.
struct TicketData final {
  // When the full handshake took place that the chain of renewals began with.
  uint64_t authenticated_at = 0;
  // When this ticket was issued.
  uint64_t issued_at = 0;
  // The client's verified chain (client_trust.h). Without one: kNoEnd and UINT8_MAX.
  uint64_t chain_end = kNoEnd;
  uint8_t chain_strength = UINT8_MAX;
  // Whether a client certificate was requested and required: SSL_get_verify_mode(3).
  uint8_t verify_mode = 0;
  bool extended_master_secret = false;
  PolicyDigest client_policy = {};
  // Length 0: the client sent no server name.
  ServerName server_name;

  static constexpr uint64_t kNoEnd = UINT64_MAX;
  static constexpr size_t kMaxSize = 4 + 3 * 8 + sizeof(PolicyDigest) + 1 + 255;

  // Writes at most kMaxSize bytes, and returns their number.
  size_t Write(uint8_t* out) const;
  // Returns false unless the input is one complete record of the current version.
  bool Read(const uint8_t* in, size_t length);
};

}  // namespace ticket_keys

#endif  // NATIVE_TLS_TICKET_DATA_H_
