#ifndef NATIVE_TLS_TICKET_DATA_H_
#define NATIVE_TLS_TICKET_DATA_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "tls/ssl_state.h"

namespace ticket_keys {

// A server name in ASCII lower case without a trailing dot; at most 255 bytes (RFC 1035
// section 2.3.4).
struct ServerName final {
  uint8_t length = 0;
  std::array<char, 255> bytes = {};
  // It was spelled so already. Not part of the name.
  bool normal = true;
  bool operator==(const ServerName& other) const;
};

// False for a name that is empty or too long; `name` is then left alone.
bool NormalizeServerName(const char* bytes, size_t length, ServerName* name);

// What a ticket carries for us, beside the session: encrypted and authenticated with it
// (SSL_SESSION_set1_ticket_appdata(3)). Times are milliseconds since 1970.
struct TicketData final {
  // Of the full handshake at the head of the chain of renewals.
  uint64_t authenticated_at = 0;
  // Of this ticket.
  uint64_t issued_at = 0;
  // Of the client's verified chain (client_trust.h); kNoEnd and all bits without one.
  uint64_t chain_end = kNoEnd;
  uint8_t chain_strength = UINT8_MAX;
  // Whether a certificate was asked for and demanded: SSL_get_verify_mode(3).
  uint8_t verify_mode = 0;
  bool extended_master_secret = false;
  PolicyDigest client_policy = {};
  // Length 0: the client named none.
  ServerName server_name;

  static constexpr uint64_t kNoEnd = UINT64_MAX;
  static constexpr size_t kMaxSize = 4 + 3 * 8 + sizeof(PolicyDigest) + 1 + 255;

  // Writes at most kMaxSize bytes; returns how many.
  size_t Write(uint8_t* out) const;
  // False for anything but a whole record of a version that this code writes.
  bool Read(const uint8_t* in, size_t length);
};

}  // namespace ticket_keys

#endif  // NATIVE_TLS_TICKET_DATA_H_
