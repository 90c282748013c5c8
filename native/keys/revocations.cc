#include "keys/revocations.h"

#include <algorithm>
#include <iterator>
#include <tuple>

namespace ticket_keys {
namespace {

// FNV-1a, twice, with different offsets.
class Hasher final {
 public:
  void Add(std::string_view bytes) {
    for (const char byte : bytes) {
      a_ = (a_ ^ static_cast<uint8_t>(byte)) * kPrime;
      b_ = (b_ ^ static_cast<uint8_t>(byte)) * kPrime;
      // Without this, equal bytes would change both halves alike.
      b_ ^= b_ >> 29;
    }
    // The length of each part, so that "ab" + "c" and "a" + "bc" differ.
    a_ = (a_ ^ bytes.size()) * kPrime;
    b_ = (b_ ^ bytes.size()) * kPrime;
  }
  std::array<uint64_t, 2> Finish() const { return {a_ ^ a_ >> 32, b_ ^ b_ >> 32}; }

 private:
  static constexpr uint64_t kPrime = 0x100000001b3;
  uint64_t a_ = 0xcbf29ce484222325;
  uint64_t b_ = 0x84222325cbf29ce4;
};

}  // namespace

bool Revocations::Shape::operator<(const Shape& other) const {
  return std::tie(has_server_name, has_fingerprint, prefix_length) <
         std::tie(other.has_server_name, other.has_fingerprint, other.prefix_length);
}

Revocations::Hash Revocations::HashOf(const Shape& shape, std::string_view server_name,
                                      std::string_view fingerprint, std::string_view prefix) {
  Hasher hasher;
  if (shape.has_server_name) hasher.Add(server_name);
  if (shape.has_fingerprint) hasher.Add(fingerprint);
  if (shape.prefix_length != kNoPrefix) hasher.Add(prefix.substr(0, shape.prefix_length));
  return hasher.Finish();
}

bool Revocations::Add(const RevocationConditions& conditions, double until, double expires,
                      double now) {
  const std::string none;
  const std::string& name = conditions.server_name.value_or(none);
  const std::string& fingerprint = conditions.fingerprint.value_or(none);
  const std::string& prefix = conditions.data_prefix.value_or(none);
  const Shape shape = {conditions.server_name.has_value(), conditions.fingerprint.has_value(),
                       conditions.data_prefix.has_value() ? prefix.size() : kNoPrefix};
  const std::lock_guard<std::mutex> lock(mutex_);
  DropExpired(now);
  Table& table = tables_[shape];
  const Hash hash = HashOf(shape, name, fingerprint, prefix);
  const auto found = table.find(hash);
  if (found != table.end()) {
    found->second.until = std::max(found->second.until, until);
    found->second.expires = std::max(found->second.expires, expires);
    return true;
  }
  if (size_.load() == kMaxEntries) {
    if (table.empty()) tables_.erase(shape);
    return false;
  }
  table.insert({hash, {until, expires}});
  next_expiry_ = std::min(next_expiry_, expires);
  Recount();
  return true;
}

bool Revocations::Covers(const RevocableSession& session) const {
  if (empty()) return false;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [shape, table] : tables_) {
    if (shape.has_fingerprint && session.fingerprint.empty()) continue;
    if (shape.prefix_length != kNoPrefix &&
        (!session.data.has_value() || session.data->size() < shape.prefix_length)) {
      continue;
    }
    const auto found = table.find(HashOf(shape, session.server_name, session.fingerprint,
                                         session.data.value_or(std::string_view())));
    if (found != table.end() && session.authenticated_at <= found->second.until) return true;
  }
  return false;
}

size_t Revocations::Count(double now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  DropExpired(now);
  return size_.load();
}

void Revocations::Clear() {
  const std::lock_guard<std::mutex> lock(mutex_);
  tables_.clear();
  next_expiry_ = std::numeric_limits<double>::infinity();
  Recount();
}

void Revocations::DropExpired(double now) {
  if (now < next_expiry_) return;
  next_expiry_ = std::numeric_limits<double>::infinity();
  for (auto table = tables_.begin(); table != tables_.end();) {
    for (auto entry = table->second.begin(); entry != table->second.end();) {
      if (now >= entry->second.expires) {
        entry = table->second.erase(entry);
      } else {
        next_expiry_ = std::min(next_expiry_, entry->second.expires);
        ++entry;
      }
    }
    table = table->second.empty() ? tables_.erase(table) : std::next(table);
  }
  Recount();
}

void Revocations::Recount() {
  size_t size = 0;
  size_t with_fingerprint = 0;
  for (const auto& [shape, table] : tables_) {
    size += table.size();
    if (shape.has_fingerprint) with_fingerprint += table.size();
  }
  size_.store(size);
  with_fingerprint_.store(with_fingerprint);
}

}  // namespace ticket_keys
