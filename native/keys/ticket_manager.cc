#include "keys/ticket_manager.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

namespace ticket_keys {
namespace {

struct Registry {
  std::mutex mutex;
  uint32_t last = 0;
  std::map<uint32_t, std::weak_ptr<TicketManager>> managers;
};

Registry& registry() {
  // Never destroyed: threads may still run while the process exits.
  static Registry* const instance = new Registry;
  return *instance;
}

}  // namespace

TicketManager::TicketManager(TicketOptions given) : options(std::move(given)) {}

TicketManager::~TicketManager() {
  delete ring_.load();
  std::lock_guard<std::mutex> lock(registry().mutex);
  registry().managers.erase(handle_);
}

std::shared_ptr<TicketManager> TicketManager::Make(TicketOptions options) {
  auto manager = std::make_shared<TicketManager>(std::move(options));
  std::lock_guard<std::mutex> lock(registry().mutex);
  manager->handle_ = ++registry().last;
  registry().managers[manager->handle_] = manager;
  return manager;
}

std::shared_ptr<TicketManager> TicketManager::Find(uint32_t handle) {
  std::lock_guard<std::mutex> lock(registry().mutex);
  auto found = registry().managers.find(handle);
  return found == registry().managers.end() ? nullptr : found->second.lock();
}

double TicketManager::Now() const {
  using std::chrono::duration;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return duration<double, std::milli>(now).count() + clock_offset_.load(std::memory_order_relaxed);
}

void TicketManager::RecordSession(uint64_t authenticated_at) {
  uint64_t newest = newest_session_.load(std::memory_order_relaxed);
  while (newest < authenticated_at &&
         !newest_session_.compare_exchange_weak(newest, authenticated_at)) {
  }
}

double TicketManager::LatestSession() const {
  return std::max(Now(), static_cast<double>(newest_session_.load()));
}

void TicketManager::RevokeAll(double until) {
  double present = revoked_until();
  // Another thread may revoke sessions at the same time.
  while (present < until && !revoked_until_.compare_exchange_weak(present, until)) {
  }
}

bool TicketManager::Revoke(const RevocationConditions& conditions, double until) {
  if (revocations.Add(conditions, until, until + options.max_session_age, Now())) return true;
  RevokeAll(LatestSession());
  revocations.Clear();
  return false;
}

const char* TicketManager::SetRing(const std::vector<KeyInput>& keys,
                                   const std::vector<KeyName>& expired, bool* changed) {
  {
    std::lock_guard<std::mutex> lock(writer_);
    const KeyRing* old = ring_.load();
    const char* problem = nullptr;
    std::unique_ptr<KeyRing> ring = KeyRing::Build(keys, expired, old, &problem);
    if (ring == nullptr) return problem;
    *changed = old == nullptr || !ring->HasSameKeys(*old);
    ring_.store(ring.release());
    if (old != nullptr) retired_.emplace_back(old);
    has_retired_.store(!retired_.empty());
  }
  EraseUnreadRings();
  return nullptr;
}

void TicketManager::ReadRing(const std::function<void(const KeyRing*)>& read) {
  {
    std::lock_guard<std::mutex> lock(writer_);
    read(ring_.load());
  }
  EraseUnreadRings();
}

void TicketManager::EraseUnreadRings() {
  while (has_retired_.load() && readers_.load() == 0) {
    std::unique_lock<std::mutex> lock(writer_, std::try_to_lock);
    // A handshake calls this function, so it must not wait. The thread that holds the mutex erases
    // the rings after it unlocks.
    if (!lock.owns_lock()) return;
    if (readers_.load() != 0) continue;
    retired_.clear();
    has_retired_.store(false);
  }
}

void TicketManager::SetWake(Wake wake, void* data) {
  std::lock_guard<std::mutex> lock(wake_mutex_);
  wake_ = wake;
  wake_data_ = data;
}

void TicketManager::NoCurrentKey() {
  if (woken_.exchange(true)) return;
  // A handshake calls this function, so it must not wait for SetWake. The next ticket without a key
  // tries again.
  std::unique_lock<std::mutex> lock(wake_mutex_, std::try_to_lock);
  if (lock.owns_lock() && wake_ != nullptr) {
    wake_(wake_data_);
  } else {
    woken_.store(false);
  }
}

}  // namespace ticket_keys
