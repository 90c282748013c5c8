#ifndef NATIVE_KEYS_TICKET_MANAGER_H_
#define NATIVE_KEYS_TICKET_MANAGER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "keys/counters.h"
#include "keys/key_ring.h"

namespace ticket_keys {

// The options that decide about tickets; checked by lib/config/options.ts. Durations in
// milliseconds.
struct TicketOptions {
  double ticket_lifetime;
  double max_session_age;
  // How far ahead of this host's clock another host's clock may be.
  double max_clock_skew;
  bool tls12_tickets;
  bool bind_server_name;
  bool resume_sni_callback;
  // 1 to 32 bytes
  std::vector<uint8_t> session_id_context;
  int tickets_per_handshake;
};

// One manager's native half: the ring, the options and the counters, shared by every server
// and thread that attaches to it.
class TicketManager final {
 public:
  explicit TicketManager(TicketOptions options);
  ~TicketManager();
  TicketManager(const TicketManager&) = delete;
  TicketManager& operator=(const TicketManager&) = delete;

  // The manager with this handle, while any thread holds it; handles are not used twice.
  static std::shared_ptr<TicketManager> Find(uint32_t handle);
  static std::shared_ptr<TicketManager> Make(TicketOptions options);
  uint32_t handle() const { return handle_; }

  const TicketOptions options;
  Counters counters;

  // Milliseconds since 1970 by the wall clock, plus the offset that tests set.
  double Now() const;
  void set_clock_offset(double milliseconds) { clock_offset_.store(milliseconds); }

  // Sessions authenticated at this moment or before no longer resume.
  double revoked_until() const { return revoked_until_.load(std::memory_order_relaxed); }
  // Notes a session that was made or resumed here.
  void RecordSession(uint64_t authenticated_at);
  // Revokes the sessions until now, and those seen that are from later, as after the clock was set
  // back or from a host whose clock is ahead.
  void RevokeSessions();

  // Replaces the ring; false, with `missing` set, where a key without bytes is not in the present
  // one.
  bool SetRing(const std::vector<KeyInput>& keys, const std::vector<KeyName>& expired,
               KeyName* missing);
  // Calls `read` with the present ring, which may be nullptr, while no ring can change.
  void ReadRing(const std::function<void(const KeyRing*)>& read);

  // Called, from any thread, when a ticket should have been issued and no key could: once until
  // `ResetWake`.
  using Wake = void (*)(void* data);
  void SetWake(Wake wake, void* data);
  void NoCurrentKey();
  void ResetWake() { woken_.store(false); }

  // Holds the present ring while a handshake looks at it, without a lock.
  class Reader final {
   public:
    explicit Reader(TicketManager* manager) : manager_(manager) {
      manager_->readers_.fetch_add(1);
      ring_ = manager_->ring_.load();
    }
    ~Reader() {
      const bool last = manager_->readers_.fetch_sub(1) == 1;
      if (last && manager_->has_retired_.load()) manager_->EraseUnreadRings();
    }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    const RingKey* Find(const uint8_t* name) const {
      return ring_ == nullptr ? nullptr : ring_->Find(name);
    }
    const RingKey* Current(double now) const {
      return ring_ == nullptr ? nullptr : ring_->Current(now);
    }

   private:
    TicketManager* manager_;
    const KeyRing* ring_;
  };

 private:
  // Erases the replaced rings, unless a handshake reads one now. Its reader then calls this.
  void EraseUnreadRings();

  uint32_t handle_ = 0;
  std::atomic<double> clock_offset_{0};
  std::atomic<double> revoked_until_{-1};
  std::atomic<uint64_t> newest_session_{0};
  // A reader counts itself before it loads the ring; a writer swaps the ring before it reads the
  // count. Both are sequentially consistent, so a count of 0 after the swap means that nobody holds
  // what was there before.
  std::atomic<const KeyRing*> ring_{nullptr};
  std::atomic<uint32_t> readers_{0};
  std::mutex writer_;
  std::vector<std::unique_ptr<const KeyRing>> retired_;
  std::atomic<bool> has_retired_{false};
  std::mutex wake_mutex_;
  Wake wake_ = nullptr;
  void* wake_data_ = nullptr;
  std::atomic<bool> woken_{false};
};

}  // namespace ticket_keys

#endif  // NATIVE_KEYS_TICKET_MANAGER_H_
