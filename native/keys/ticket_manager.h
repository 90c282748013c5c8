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
#include "keys/revocations.h"

namespace ticket_keys {

// The options of the ticket policy. lib/config/options.ts checks them. Durations
// are in milliseconds.
struct TicketOptions {
  double ticket_lifetime;
  double max_session_age;
  // How far the clock of another host may be ahead of this host's clock.
  double max_clock_skew;
  bool tls12_tickets;
  bool bind_server_name;
  bool resume_sni_callback;
  // 1 to 32 bytes
  std::vector<uint8_t> session_id_context;
  int tickets_per_handshake;
};

// The native part of a manager: the key ring, the options and the counters. All servers and threads
// that attach to the manager share it.
class TicketManager final {
 public:
  explicit TicketManager(TicketOptions options);
  ~TicketManager();
  TicketManager(const TicketManager&) = delete;
  TicketManager& operator=(const TicketManager&) = delete;

  // Returns the manager with this handle, or nullptr once no thread has it open. Handles
  // are never reused.
  static std::shared_ptr<TicketManager> Find(uint32_t handle);
  static std::shared_ptr<TicketManager> Make(TicketOptions options);
  uint32_t handle() const { return handle_; }

  const TicketOptions options;
  Counters counters;

  // Milliseconds since 1970: the wall clock plus the offset that tests set.
  double Now() const;
  void set_clock_offset(double milliseconds) { clock_offset_.store(milliseconds); }

  // Sessions authenticated at or before this time no longer resume.
  double revoked_until() const { return revoked_until_.load(std::memory_order_relaxed); }
  // Records when a session that was made or resumed here was authenticated.
  void RecordSession(uint64_t authenticated_at);
  // The time until which "all sessions until now" were authenticated: now, or the latest time of a
  // recorded session. The clock may have been set back, or another host's clock may be ahead.
  double LatestSession() const;
  // Revokes all sessions authenticated at or before `until`.
  void RevokeAll(double until);
  // Revokes the sessions that meet the conditions and were authenticated at or before `until`.
  // Returns false if there are too many revocations: all sessions are revoked then, and the entries
  // dropped.
  bool Revoke(const RevocationConditions& conditions, double until);
  Revocations revocations;

  // Replaces the ring, and sets `changed` to whether its keys differ from the previous ones.
  // Returns nullptr, or the reason why the ring was not replaced.
  const char* SetRing(const std::vector<KeyInput>& keys, const std::vector<KeyName>& expired,
                      bool* changed);
  // Calls `read` with the current ring, or with nullptr. The ring does not change during the call.
  void ReadRing(const std::function<void(const KeyRing*)>& read);

  // Called, on any thread, when a ticket should be issued and no key can issue it. Called once,
  // then not again until `ResetWake`.
  using Wake = void (*)(void* data);
  void SetWake(Wake wake, void* data);
  void NoCurrentKey();
  void ResetWake() { woken_.store(false); }

  // Gives a handshake the current ring without a lock.
  // The ring is not erased while the Reader exists.
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
  // Erases the replaced rings, unless a handshake is reading a ring. The last Reader then calls
  // this function.
  void EraseUnreadRings();

  uint32_t handle_ = 0;
  std::atomic<double> clock_offset_{0};
  std::atomic<double> revoked_until_{-1};
  std::atomic<uint64_t> newest_session_{0};
  // A reader increments `readers_` before it loads `ring_`. A writer swaps `ring_` before it loads
  // `readers_`. All four operations are sequentially consistent. If `readers_` is 0 after the swap,
  // no reader has a replaced ring.
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
