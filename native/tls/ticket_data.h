#ifndef NATIVE_TLS_TICKET_DATA_H_
#define NATIVE_TLS_TICKET_DATA_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "tls/client_policies.h"

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

// How a client certificate was verified in the full handshake.
struct ClientVerification final {
  // Whether a client certificate was requested and required: SSL_get_verify_mode(3).
  uint8_t verify_mode = 0;
  // The client's verified chain (client_trust.h).
  uint8_t chain_strength = UINT8_MAX;
  uint64_t chain_end = UINT64_MAX;
  PolicyDigest policy = {};
};

// What the application keeps with a session (the option `sessionData`).
struct SessionData final {
  static constexpr size_t kMaxSize = 512;

  uint16_t length = 0;
  std::array<uint8_t, kMaxSize> bytes = {};
};

// The application data of a ticket, encrypted and authenticated with the session
// (SSL_SESSION_set1_ticket_appdata(3)). Every byte is in each ClientHello that offers the ticket.
// Times are in milliseconds since 1970.
struct TicketData final {
  // When the full handshake took place that the chain of renewals began with.
  uint64_t authenticated_at = 0;
  // When this ticket was issued.
  uint64_t issued_at = 0;
  bool extended_master_secret = false;
  // Nothing if no client certificate was requested.
  std::optional<ClientVerification> client;
  // Nothing if the application keeps nothing with the session.
  std::optional<SessionData> data;
  // Length 0: the client sent no server name.
  ServerName server_name;

  // When the client's chain is no longer accepted. UINT64_MAX: never, or no chain.
  uint64_t chain_end() const { return client.has_value() ? client->chain_end : UINT64_MAX; }

  static constexpr size_t kFixedSize = 1 + 2 * 6;
  static constexpr size_t kClientSize = 1 + 1 + 6 + sizeof(PolicyDigest);
  static constexpr size_t kMaxSize = kFixedSize + kClientSize + 2 + SessionData::kMaxSize + 255;

  // Writes at most kMaxSize bytes, and returns their number.
  size_t Write(uint8_t* out) const;
  // Returns false unless the input is one complete record of the current version.
  bool Read(const uint8_t* in, size_t length);
};

}  // namespace ticket_keys

#endif  // NATIVE_TLS_TICKET_DATA_H_
