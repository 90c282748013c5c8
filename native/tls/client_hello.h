#ifndef NATIVE_TLS_CLIENT_HELLO_H_
#define NATIVE_TLS_CLIENT_HELLO_H_

#include <cstddef>
#include <cstdint>

#include "tls/ticket_data.h"

namespace ticket_keys {

// Parsers for the raw bytes of a ClientHello. They check every length before they use it.

// Reads the host_name of a server_name extension (RFC 6066 section 3). False if it is malformed.
bool ReadServerName(const uint8_t* extension, size_t length, ServerName* name);

// The group of the first entry of a key_share extension (RFC 8446 section 4.2.8), or 0 without one.
uint16_t ReadFirstShareGroup(const uint8_t* extension, size_t length);

// Whether a list of two-byte cipher suites contains `cipher` (RFC 5246 section 7.4.1.2).
bool OffersCipher(const uint8_t* suites, size_t length, uint16_t cipher);

}  // namespace ticket_keys

#endif  // NATIVE_TLS_CLIENT_HELLO_H_
