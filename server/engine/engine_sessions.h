// The engine's calls for sessions: batches under few holds of the pool's lock, tickets, and word of
// what sessions may not hand out any more.
//
// Thread-safety: as Engine; a SessionBatch belongs to one caller at a time.
#ifndef CREDBROKER_SERVER_ENGINE_ENGINE_SESSIONS_H_
#define CREDBROKER_SERVER_ENGINE_ENGINE_SESSIONS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/change.h"
#include "core/command.h"
#include "core/policy.h"
#include "core/view.h"

namespace credbroker::engine {

class EngineState;

// A lease of a session on the wire: where the pool keeps it, and the low half of its number.
inline uint64_t LeaseNumber(core::LeaseSeq seq, uint32_t cell) { return seq.number() << 32 | cell; }
inline core::SessionLease LeaseOf(core::SessionId session, uint64_t number) {
  return {.session = session,
          .cell = static_cast<uint32_t>(number),
          .seq_low = static_cast<uint32_t>(number >> 32)};
}

// Hears at once, on the thread that caused it and without any lock of the engine, what concerns
// credentials that sessions may hold. Several threads may call at once and in another order than
// the pool's; it must not block.
class SessionListener {
 public:
  virtual ~SessionListener() = default;
  virtual void OnRevoked(absl::Span<const core::Revoked> revoked) = 0;
  // Their document or secret was replaced.
  virtual void OnChanged(absl::Span<const core::Uid> changed) = 0;
};

// What one message of a session asks, and the answers. Kept by the caller and used again: its lists
// keep their memory.
struct SessionBatch {
  struct Report {
    uint64_t lease = 0;
    core::ReportFacts facts;  // borrowed
    bool early = false;
    uint64_t material_version = 0;  // as core::ReportCommand has them
    absl::Time happened = absl::InfiniteFuture();
    core::ReportReply reply;
  };
  struct Renewal {
    uint64_t lease = 0;
    absl::Duration ttl;
    core::RenewReply reply;
  };
  struct Wish {  // for stock
    const core::AcquireCommand* command = nullptr;
    int count = 0;
  };
  struct Acquire {
    core::AcquireCommand command;
    // Called if the answer is kParked, with what comes of it.
    absl::AnyInvocable<void(core::AcquireReply)> done;
    core::AcquireReply reply;
  };
  struct StockLease {
    uint64_t lease = 0;
    core::Uid uid;
    uint32_t model = 0;  // in Stock::models
  };
  // Of one wish, granted at one moment.
  struct Stock {
    size_t wish = 0;
    size_t begin = 0, end = 0;  // in `leases`
    std::vector<std::string> models;
    core::LeaseSeq order;
    absl::Time granted, expires;
    int refused = 0;
    std::optional<core::RefusalInfo> refusal;
  };

  core::SessionId session;
  absl::Span<const uint64_t> succeeded;
  std::vector<Report> reports;
  absl::Span<const uint64_t> released;
  uint32_t expired = 0;
  std::vector<Renewal> renewals;
  std::vector<Wish> wishes;
  std::vector<Acquire> acquires;

  // --- answers; the others lie beside what was asked ---
  std::vector<std::pair<uint64_t, core::ReportReply>> odd_successes;  // not kAccepted
  std::vector<StockLease> leases;
  std::vector<Stock> stocks;
  uint64_t ended = 0;  // leases that a report or a release ended

  void Clear();
};

// A credential as a session must be told of it.
struct IssuedView {
  core::Uid uid;
  std::optional<core::Issued> issued;  // nothing: there is no such incarnation
  core::State state = core::State::kAvailable;
  core::Cause cause = core::Cause::kNone;
  bool half_open = false;
  absl::Time until = absl::InfiniteFuture();
  std::vector<std::string> waiting_models;
};

// A lease the pool holds for a session.
struct HeldLease {
  uint64_t lease = 0;
  core::LeaseSeq seq;
  core::Uid uid;
  std::string model;
  absl::Time granted, expires;
};

class EngineSessions {
 public:
  explicit EngineSessions(EngineState& state) : state_(state) {}

  // Whom to tell; null: nobody. It outlives the engine's Stop.
  void SetListener(SessionListener* listener);
  // The marker that was found in the store at start.
  bool were_live() const;

  // As their twins of core::Pool. kNoSession, false: also when the engine does not serve.
  core::SessionId Open(absl::string_view principal);
  void Detach(core::SessionId session, absl::Time deadline);
  bool Resume(core::SessionId session, absl::string_view principal);
  bool Close(core::SessionId session);

  // Applies all of it in the order of its lists, in steps of at most kStep items a hold of the
  // lock.
  static constexpr int kStep = 64;
  void Apply(SessionBatch& batch);
  void CancelWait(core::WaiterId waiter);

  std::vector<HeldLease> Held(core::SessionId session) const;
  size_t Count(core::SessionId session) const;  // how many they are
  // Whether it is a lease of this session that has ended and is still remembered.
  bool Remembered(core::SessionId session, uint64_t lease) const;
  core::AdoptReply Adopt(const core::AdoptCommand& command);
  void Release(core::SessionId session, absl::Span<const uint64_t> leases);
  // Looks the uids of `views` up, in steps.
  void Look(absl::Span<IssuedView> views) const;

  // Proves to a later process that `principal` was told of this credential.
  std::string Ticket(const core::Issued& issued, absl::string_view principal) const;
  struct TicketClaims {
    core::Uid uid;
    uint64_t material_version = 0;
    uint64_t revision = 0;  // of the document
  };
  // What it proves; nothing if it is not ours or another principal's.
  std::optional<TicketClaims> OpenTicket(absl::string_view ticket,
                                         absl::string_view principal) const;

 private:
  EngineState& state_;
};

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_ENGINE_SESSIONS_H_
