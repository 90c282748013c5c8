#ifndef NATIVE_KEYS_REVOCATIONS_H_
#define NATIVE_KEYS_REVOCATIONS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace ticket_keys {

// Which sessions to revoke. All given conditions must hold. At least one is given.
struct RevocationConditions final {
  // In lower case without a trailing dot.
  std::optional<std::string> server_name;
  // SHA-256 of the client's certificate, 32 bytes.
  std::optional<std::string> fingerprint;
  // The beginning of the session data.
  std::optional<std::string> data_prefix;
};

// What a look-up compares with the conditions. Views are valid during the call.
struct RevocableSession final {
  double authenticated_at;
  std::string_view server_name;
  // Empty: the session has no client certificate. Computed only if a condition needs it.
  std::string_view fingerprint;
  // Nothing: the application keeps no data.
  std::optional<std::string_view> data;
};

// The revocations with conditions. Threads look up sessions while others add entries.
//
// An entry is a hash of its conditions. A look-up computes the same hash of the session's values,
// once for each shape that an entry has: which conditions are given, and the length of the prefix.
// Its cost does not depend on the number of entries. A session whose hash equals that of another
// one's revocation is refused too, which costs a full handshake: with 128 bits, that does not
// happen by chance.
class Revocations final {
 public:
  static constexpr size_t kMaxEntries = 100'000;

  // Refuses sessions that meet the conditions and were authenticated at or before `until`, as long
  // as `expires` is not reached. Returns false, without changes, if there are too many entries.
  bool Add(const RevocationConditions& conditions, double until, double expires, double now);
  bool Covers(const RevocableSession& session) const;
  // Whether an entry has the condition `fingerprint`.
  bool needs_fingerprint() const { return with_fingerprint_.load(std::memory_order_relaxed) != 0; }
  bool empty() const { return size_.load(std::memory_order_relaxed) == 0; }
  // The number of entries in force at `now`. Drops the others.
  size_t Count(double now);
  void Clear();

 private:
  struct Shape final {
    bool has_server_name;
    bool has_fingerprint;
    // kNoPrefix: no condition.
    size_t prefix_length;
    bool operator<(const Shape& other) const;
  };
  static constexpr size_t kNoPrefix = std::numeric_limits<size_t>::max();

  using Hash = std::array<uint64_t, 2>;
  struct Entry final {
    double until;
    double expires;
  };
  using Table = std::map<Hash, Entry>;

  static Hash HashOf(const Shape& shape, std::string_view server_name, std::string_view fingerprint,
                     std::string_view prefix);
  void DropExpired(double now);
  void Recount();

  mutable std::mutex mutex_;
  std::map<Shape, Table> tables_;
  // No entry expires before this time.
  double next_expiry_ = std::numeric_limits<double>::infinity();
  std::atomic<size_t> size_{0};
  std::atomic<size_t> with_fingerprint_{0};
};

}  // namespace ticket_keys

#endif  // NATIVE_KEYS_REVOCATIONS_H_
