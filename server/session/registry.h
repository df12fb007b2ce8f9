// SessionRegistry: every session, open or resumable, and whom the engine's revocations concern.
//
// A client that does not read is cut: one whose message in flight did not go out for ttl, or who
// acknowledged no revocation for ttl while some wait for it. The first is seen once its window is
// full: until then what it does not read lies in memory of its own. The second needs no full
// window; it is what a Disable that waits depends on. What such a client costs before it is cut:
// the answers to one message beyond what stops its reads (less, once many do it), and at most one
// revocation for each credential and model it knows. While its reads are stopped its pings are not
// seen: then it is heard by every message that goes out to it.
//
// A session is open while it has a stream. When that breaks, or nothing was heard for ttl, it is
// detached: its leases live on until ttl + grace after it was heard last, and whoever knows its id
// (of the same principal) may resume it until then.
//
// Whoever names a session that is not known gets another one, and takes its leases there by their
// tickets. Its welcome may be lost. Until its client names the new session, the old name means it
// too: else a client that tries again would find the slots of its leases taken by itself.
//
// The store's live-sessions marker is set durably before the first welcome and cleared after the
// last session is gone, so that a restart in between knows that leases may be in use.
//
// Thread-safety: all functions may be called from any thread. Lock order: mutex_, a peer's, the
// engine's. What the engine calls takes peers_mutex_ and the peers' only.
#ifndef CREDBROKER_SERVER_SESSION_REGISTRY_H_
#define CREDBROKER_SERVER_SESSION_REGISTRY_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "core/provider_builtin.h"
#include "server/session/peer.h"

namespace credbroker::session {

class SessionRegistry final : public SessionHost, public engine::SessionListener {
 public:
  // `engine` outlives this, and Stop must be called before the engine is gone.
  SessionRegistry(engine::Engine& engine, Terms terms);
  ~SessionRegistry() override;

  // Begins to listen to the engine, which has started.
  void Start(uint64_t epoch);
  // Takes no new session and asks the open ones to go; EndAll then ends their streams. What waits
  // for acknowledgements is done.
  void GoAway(absl::Duration spread, absl::string_view reason);
  void EndAll(const grpc::Status& status);
  // Hears no more from the engine: nothing of it runs here after this.
  void Stop();

  // For sessions opened from now on.
  void SetTerms(Terms terms);
  // By provider and, in it, by core::Kind; empty: none.
  using BaseUrls = absl::flat_hash_map<std::string, std::array<std::string, core::kKindCount>>;
  void SetBaseUrls(std::shared_ptr<const BaseUrls> urls);

  // A stream begins; Left follows, whatever comes in between.
  void Arrived(const std::shared_ptr<SessionPeer>& peer);

  // Does what is due: silent sessions, clients that do not read, sessions to be forgotten, the
  // marker. To be called every kSweep or so.
  static constexpr absl::Duration kSweep = absl::Milliseconds(100);
  void Sweep();

  // `done` runs once no session hands this credential out any more because of what it was told
  // before: each acknowledged, or was lost.
  void WhenSettled(core::Uid uid, absl::AnyInvocable<void()> done);

  struct Info {
    std::string client, instance, principal;
    bool open = false;
    absl::Time opened, heard;
  };
  struct Stats {
    uint64_t open = 0, detached = 0;
    std::vector<Info> sessions;  // at most `limit`
  };
  Stats stats(size_t limit) const;
  size_t open() const;
  const Counters& counters() const { return counters_; }

  // SessionHost:
  void Open(std::shared_ptr<SessionPeer> peer, const v1::SessionHello& hello) override;
  void Left(SessionPeer& peer) override;
  engine::EngineSessions& engine() override { return engine_.sessions(); }
  absl::Time Now() const override { return engine_.Now(); }
  Terms terms() const override;
  uint64_t epoch() const override { return epoch_.load(std::memory_order_relaxed); }
  std::string BaseUrlOf(absl::string_view provider, core::Kind kind) const override;
  Counters& counters() override { return counters_; }
  int64_t AddQueued(int64_t bytes) override {
    return queued_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  }

  // SessionListener:
  void OnRevoked(absl::Span<const core::Revoked> revoked) override;
  void OnChanged(absl::Span<const core::Uid> changed) override;

 private:
  using Peers = std::vector<std::shared_ptr<SessionPeer>>;
  struct Entry {
    std::string principal;
    std::string instead_of;  // the session its client wanted; empty: none, or it knows this one
    core::SessionId session;
    std::shared_ptr<SessionPeer> peer;  // of its latest stream
    Terms promised;                     // the longest ttl and grace its client was told of
    bool open = false;
    absl::Time opened;
    absl::Time lost;                            // detached: its client hands nothing out any more
    absl::Time deadline;                        // detached: freed
    absl::Time ended = absl::InfiniteFuture();  // since when an open one's stream is being ended
  };
  using Entries = absl::flat_hash_map<std::string, Entry>;  // by id
  enum class Marker { kOff, kTurningOn, kOn, kTurningOff };

  bool Resume(const std::shared_ptr<SessionPeer>& peer, SessionPeer::Opened* opened);
  Entries::iterator Find(const SessionPeer& peer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  grpc::Status Admit(const std::string& principal) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Complete(const std::shared_ptr<SessionPeer>& peer);
  void Detach(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnlyByItsId(Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Forget(Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Streams that are to be ended, and how.
  using Ends = std::vector<std::pair<std::shared_ptr<SessionPeer>, grpc::Status>>;
  void SweepArriving(absl::Time now, absl::Duration ttl, Ends& ends)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SweepOpen(Entry& entry, absl::Time now, Ends& ends, Peers& silent, Peers& gone)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Publish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetMarker(bool live);
  void OnMarker(bool live, const absl::Status& status);
  std::shared_ptr<const Peers> peers() const;

  // What became of the marker may be told when the registry is gone: a store may take its time.
  struct MarkerLink {
    engine::Mutex mutex;
    engine::CondVar idle;
    SessionRegistry* registry ABSL_GUARDED_BY(mutex) = nullptr;  // null: gone
    int running ABSL_GUARDED_BY(mutex) = 0;
  };

  engine::Engine& engine_;
  const std::shared_ptr<MarkerLink> marker_link_ = std::make_shared<MarkerLink>();
  Counters counters_;
  std::atomic<int64_t> queued_{0};
  std::atomic<uint64_t> epoch_{0};

  mutable engine::Mutex config_mutex_;
  Terms terms_ ABSL_GUARDED_BY(config_mutex_);
  std::shared_ptr<const BaseUrls> base_urls_ ABSL_GUARDED_BY(config_mutex_);

  mutable engine::Mutex peers_mutex_;
  std::shared_ptr<const Peers> peers_ ABSL_GUARDED_BY(peers_mutex_);  // of all sessions
  std::atomic<size_t> open_{0};

  mutable engine::Mutex mutex_;
  Entries entries_ ABSL_GUARDED_BY(mutex_);
  // By principal and Entry::instead_of: the id of that entry.
  absl::flat_hash_map<std::pair<std::string, std::string>, std::string> instead_
      ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, size_t> by_principal_ ABSL_GUARDED_BY(mutex_);  // with opening_
  // Before hello. One that never says it is ended after ttl.
  absl::flat_hash_map<const SessionPeer*, std::shared_ptr<SessionPeer>> arriving_
      ABSL_GUARDED_BY(mutex_);
  // Until the marker is set.
  std::vector<std::shared_ptr<SessionPeer>> opening_ ABSL_GUARDED_BY(mutex_);
  // Streams that were ended by us and may not go by themselves, and since when.
  std::vector<std::pair<std::shared_ptr<SessionPeer>, absl::Time>> ending_ ABSL_GUARDED_BY(mutex_);
  Marker marker_ ABSL_GUARDED_BY(mutex_) = Marker::kOff;
  absl::Time idle_since_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time marker_until_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  // Clients of the process before may hand out what they hold until then, though none is heard.
  absl::Time former_lost_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::vector<SettlementHold> former_awaited_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace credbroker::session

#endif  // CREDBROKER_SERVER_SESSION_REGISTRY_H_
