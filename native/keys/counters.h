#ifndef NATIVE_KEYS_COUNTERS_H_
#define NATIVE_KEYS_COUNTERS_H_

#include <openssl/ssl.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ticket_keys {

enum class Protocol : size_t { kTls12, kTls13, kCount };

// The order in which reasons are checked. Only the first reason that applies is counted.
enum class Reason : size_t {
  kUnknownKey,
  kExpiredKey,
  kBadTicket,
  kMismatch,
  kContext,
  kSessionExpired,
  kSessionTooOld,
  kSessionRevoked,
  kServerName,
  kClientCertificate,
  kCallbackError,
  kCount
};

// What a revocation of sessions is counted under: its first condition, in this order.
enum class Condition : size_t { kFingerprint, kServerName, kData, kAll, kCount };

constexpr size_t kConditions = static_cast<size_t>(Condition::kCount);
constexpr size_t kProtocols = static_cast<size_t>(Protocol::kCount);
constexpr size_t kReasons = static_cast<size_t>(Reason::kCount);

// The labels of the metrics, in the order of the enums.
constexpr std::array<const char*, kProtocols> kProtocolNames = {"TLSv1.2", "TLSv1.3"};
constexpr std::array<const char*, kReasons> kReasonNames = {
    "unknown_key", "expired_key",        "bad_ticket",      "mismatch",
    "context",     "session_expired",    "session_too_old", "session_revoked",
    "server_name", "client_certificate", "callback_error"};

// Upper bounds of the age histogram, in seconds. lib/native/types.ts reads them from here.
constexpr std::array<double, 12> kAgeBounds = {1,    10,   60,    300,   900,   1800,
                                               3600, 7200, 14400, 28800, 86400, 604800};

using Counter = std::atomic<uint64_t>;

// Counts since the manager was created. Several threads may write at once: relaxed
// atomics, no lock.
class Counters final {
 public:
  void Issued(Protocol protocol) { Increment(issued_[Index(protocol)]); }
  void Renewed(Protocol protocol) { Increment(renewed_[Index(protocol)]); }
  void Rejected(Protocol protocol, Reason reason) {
    Increment(rejected_[Index(protocol)][static_cast<size_t>(reason)]);
  }
  void Handshake(Protocol protocol, bool resumed) {
    Increment(handshakes_[Index(protocol)][resumed ? 1 : 0]);
  }
  void Resumed(Protocol protocol, double age_ms);
  void Revoked(Condition condition) { Increment(revoked_[static_cast<size_t>(condition)]); }

  // Writes all counts to `out`, in the order of the fields below. The age sum is in milliseconds.
  static constexpr size_t kSize =
      kProtocols * (3 + kReasons + 2) + kAgeBounds.size() + 1 + 1 + kConditions;
  void Read(double* out) const;

 private:
  static size_t Index(Protocol protocol) { return static_cast<size_t>(protocol); }
  static void Increment(Counter& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

  Counter issued_[kProtocols] = {};
  Counter renewed_[kProtocols] = {};
  Counter resumed_[kProtocols] = {};
  Counter rejected_[kProtocols][kReasons] = {};
  Counter handshakes_[kProtocols][2] = {};
  // The last bucket counts ages above the last bound.
  Counter ages_[kAgeBounds.size() + 1] = {};
  Counter age_sum_ms_ = {0};
  Counter revoked_[kConditions] = {};
};

}  // namespace ticket_keys

#endif  // NATIVE_KEYS_COUNTERS_H_
