#include "keys/counters.h"

#include <algorithm>

namespace ticket_keys {

void Counters::Resumed(Protocol protocol, double age_ms) {
  Increment(resumed_[Index(protocol)]);
  // The age is negative if this host's clock is behind the issuer's. Count such an age as 0.
  age_ms = std::max(age_ms, 0.0);
  size_t bucket = 0;
  while (bucket < kAgeBounds.size() && age_ms > kAgeBounds[bucket] * 1000) bucket++;
  Increment(ages_[bucket]);
  age_sum_ms_.fetch_add(static_cast<uint64_t>(age_ms), std::memory_order_relaxed);
}

void Counters::Read(double* out) const {
  auto add = [&out](const Counter& counter) {
    *out++ = static_cast<double>(counter.load(std::memory_order_relaxed));
  };
  for (const Counter& counter : issued_) add(counter);
  for (const Counter& counter : renewed_) add(counter);
  for (const Counter& counter : resumed_) add(counter);
  for (const auto& protocol : rejected_) {
    for (const Counter& counter : protocol) add(counter);
  }
  for (const auto& protocol : handshakes_) {
    for (const Counter& counter : protocol) add(counter);
  }
  for (const Counter& counter : ages_) add(counter);
  add(age_sum_ms_);
  for (const Counter& counter : revoked_) add(counter);
}

}  // namespace ticket_keys
