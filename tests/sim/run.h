// One run of the simulation: the pool beside its naive model, and what a store would hold.
#ifndef CREDBROKER_TESTS_SIM_RUN_H_
#define CREDBROKER_TESTS_SIM_RUN_H_

#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/fault.h"
#include "core/pool.h"
#include "tests/model/naive_pool.h"
#include "tests/sim/simulation.h"
#include "tests/sim/world.h"

namespace credbroker::sim {

using core::AcquireReply;
using core::Cause;
using model::Mismatch;
using testing::Ask;

inline void Expect(bool ok, const std::string& what) {
  if (!ok) throw Mismatch(what);
}

// What a store would hold.
struct Row {
  uint64_t uid = 0;
  std::shared_ptr<const core::Document> document;
  std::optional<core::Intent> intent;
  std::shared_ptr<const core::Material> material;
  std::shared_ptr<const core::HealthRecord> health;  // as flushed
  std::shared_ptr<const core::HealthRecord> behind;  // as last told
};

struct Held {  // a lease id somebody has
  uint32_t event = 0;
  core::LeaseClaims claims;
  core::SessionLease lease;  // of a session's
  bool of_session() const { return lease.session != core::kNoSession; }
};

struct Open {  // a session somebody thinks to have
  core::SessionId id;
  uint64_t epoch = 0;
  std::string principal;
};

class Simulation {
 public:
  explicit Simulation(const Plan& plan)
      : plan_(plan), world_(plan.seed), model_(world_.SettingsAt(0), plan.seed) {
    core::PoolOptions options;
    options.settings = settings_ = world_.SettingsAt(0);
    options.seed = plan.seed;
    pool_ = std::make_unique<core::Pool>(std::move(options));
  }

  void Run(Outcome* out) {
    out_ = out;
    for (int i = 0; i < world_.size(); ++i) {
      Create(1'000'000'000 + static_cast<uint64_t>(i), world_.IdAt(static_cast<uint64_t>(i)));
    }
    for (uint32_t event : plan_.events) {
      ++out->events;
      event_ = event;
      Step(event);
      CheckAll(world_.large() ? out->events % 25 == 0 : true);
    }
    Settle();
  }

 private:
  void Say(const std::string& what) {
    if (!plan_.explain) return;
    const std::string line = absl::StrCat(
        event_, " ", absl::FormatTime("%d %H:%M:%E9S ", now_, absl::UTCTimeZone()), what, "\n");
    out_->story += line;
    std::cerr << line;  // kept where the pool aborts
  }
  void Mix(absl::string_view text) {
    for (char c : text) out_->hash = (out_->hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  void Mix(absl::Time t) { Mix(absl::FormatTime(t)); }
  void See(absl::string_view kind, absl::string_view what) {
    ++out_->seen[absl::StrCat(std::string(kind), " ", std::string(what))];
  }

  // --- time ---
  void Drain() {
    effects_.clear();
    for (int rounds = 0; pool_->Advance(now_, 1'000'000, effects_); ++rounds) {
      Expect(rounds < 20, "Advance always says that more is due");
    }
    model_.Drained(now_, effects_);
    model_.Told(effects_);
    Note();
  }
  void AdvanceTo(absl::Time then, bool late) {
    int events = 0;
    for (absl::Time next = pool_->NextEvent(); !late && next <= then; next = pool_->NextEvent()) {
      Expect(++events < 20'000, "timers without an end");
      now_ = std::max(now_, next);
      Drain();
    }
    now_ = then;
    Drain();
  }
  // Sometimes the pool is told an earlier time than before.
  absl::Time Told(uint32_t event) const {
    if (!world_.Chance(event, "clock", 4)) return now_;
    return now_ - absl::Seconds(static_cast<int64_t>(world_.Pick(event, "clock#", 4000)));
  }

  // --- what effects say ---
  void Note() {
    for (const core::Change& change : effects_.changes) {
      Mix(change.id);
      Mix(core::Name(change.why));
      if (change.transition) {
        const core::Transition& t = *change.transition;
        See("transition",
            absl::StrCat(t.model == core::kNoModel ? "" : "model ", std::string(core::Name(t.from)),
                         ">", std::string(core::Name(t.to)), " ", std::string(core::Name(t.why)),
                         " ", std::string(core::Name(t.cause))));
        Mix(absl::StrCat(t.number, "/", t.at_ms, "/", t.until_ms));
      }
      if (change.kind == core::RecordKind::kBackoff) {
        const core::BackoffRecord& backoff = *change.backoff;
        const auto key = std::make_tuple(backoff.provider, backoff.model, backoff.egress);
        See("backoff", absl::StrCat(!backoff.egress.empty() ? "egress"
                                    : backoff.model.empty() ? "provider"
                                                            : "model",
                                    " ", std::string(core::Name(change.why))));
        if (backoff.record.cause == core::Cause::kNone) {
          backoffs_.erase(key);
        } else {
          backoffs_[key] = backoff;
        }
        continue;
      }
      auto row = store_.find(change.id);
      if (row == store_.end() || row->second.uid != change.uid.number()) continue;
      if (change.health != nullptr) row->second.behind = change.health;
      if (change.kind == core::RecordKind::kIntent && change.intent) {
        row->second.intent = change.intent;
      }
    }
    for (const core::Woken& woken : effects_.woken) {
      Mix(absl::StrCat("woken", woken.waiter.number()));
      const auto& [principal, session] = waiting_[woken.waiter.number()];
      NoteReply(woken.reply, principal, session);
      waiting_.erase(woken.waiter.number());
    }
    for (const core::Revoked& revoked : effects_.revoked) {
      See("revoked", absl::StrCat(revoked.model.empty() ? "" : "model ",
                                  std::string(core::Name(revoked.reason))));
      Say(absl::StrCat("  revoked ", revoked.uid.number(), " ", revoked.model, " up to ",
                       revoked.covers.number(), " ", std::string(core::Name(revoked.reason))));
      Mix(absl::StrCat("revoked", revoked.uid.number(), "/", revoked.covers.number()));
      Mix(revoked.until);
    }
  }
  void NoteReply(const AcquireReply& reply, const std::string& principal, core::SessionId session) {
    if (reply.kind == AcquireReply::Kind::kRefused) {
      See("refusal", core::Name(reply.refusal.reason));
      Mix(core::Name(reply.refusal.reason));
      Mix(reply.refusal.earliest);
      Say(absl::StrCat(
          "  refused ", std::string(core::Name(reply.refusal.reason)), " until ",
          absl::FormatTime("%d %H:%M:%E9S", reply.refusal.earliest, absl::UTCTimeZone())));
    } else if (reply.kind == AcquireReply::Kind::kGranted) {
      See("grant", reply.grant.probe ? "probe" : "open");
      Mix(reply.grant.document->id);
      Mix(reply.grant.expires);
      Say(absl::StrCat("  granted ", reply.grant.document->id.view(),
                       reply.grant.probe ? " as probe" : "", " lease ", reply.grant.seq.number(),
                       " to ", principal));
      Held held;
      held.event = event_;
      held.claims.seq = reply.grant.seq;
      held.claims.cell = reply.grant.cell;
      held.claims.epoch = epoch_;
      held.claims.uid = reply.grant.material->uid;
      held.claims.material_version = reply.grant.material->version;
      held.claims.kind = reply.grant.document->kind;
      held.claims.refreshable = reply.grant.material->refreshable;
      held.claims.principal = principal;
      held.claims.provider = reply.grant.document->provider;
      held.claims.model = reply.grant.model;
      held.claims.granted = reply.grant.granted;
      held.claims.expires = reply.grant.expires;
      Hold(held, session);
    } else {
      See("grant", "parked");
      Say(absl::StrCat("  parked as ", reply.waiter.number()));
      Mix(absl::StrCat("parked", reply.waiter.number()));
    }
  }

  void Hold(Held held, core::SessionId session) {
    held.lease = {session, held.claims.cell, static_cast<uint32_t>(held.claims.seq.number())};
    held_.push_back(held);
    if (held_.size() > 600) held_.erase(held_.begin(), held_.begin() + 200);
  }

  // --- events ---
  void Step(uint32_t event);

  // --- sessions ---
  void SessionEvent(uint32_t event);
  const Open* AnySession(uint32_t event, const std::string& principal = "") const;
  // Of an open one with room for more, or none.
  core::SessionId SessionFor(uint32_t event, const std::string& principal) const;
  void OpenSession(uint32_t event);
  void DetachSession(uint32_t event);
  void ResumeSession(uint32_t event);
  void CloseSession(uint32_t event);
  void Stock(uint32_t event);
  void Adopt(uint32_t event);
  // Its name as somebody might send it: forged or of another session at times.
  core::SessionLease NameOf(uint32_t event, const Held& held) const;

  template <typename Use>
  void WithCommand(const Ask& ask, Use use) {
    const std::vector<absl::string_view> providers(ask.providers.begin(), ask.providers.end());
    const std::vector<absl::string_view> excluded(ask.excluded.begin(), ask.excluded.end());
    const std::vector<std::pair<absl::string_view, absl::string_view>> labels(ask.labels.begin(),
                                                                              ask.labels.end());
    core::AcquireCommand command;
    command.principal = ask.principal;
    command.group = ask.group;
    command.providers = providers;
    command.model = ask.model;
    command.session_key = ask.session;
    command.credential_id = ask.pin;
    command.excluded = excluded;
    command.kind = ask.kind;
    command.labels = labels;
    command.request_id = ask.request_id;
    command.ttl = ask.ttl;
    command.max_wait = ask.max_wait;
    command.allow_probe = ask.allow_probe;
    use(command);
  }

  static std::string Show(const Ask& ask);

  void Acquire(uint32_t event);
  AcquireReply DoAcquire(const Ask& ask, absl::Time told, core::SessionId session = {},
                         bool for_stock = false);
  void Explain(uint32_t event);

  // A lease that an event some way back got, or the one before it.
  const Held* Target(uint32_t event) const;
  void Report(uint32_t event);
  void DoReport(const core::LeaseClaims claims, const core::Verdict& verdict,
                const std::string& principal, bool early, absl::Time told,
                absl::Time happened = absl::InfiniteFuture(), uint64_t version = 0,
                std::optional<core::SessionLease> name = std::nullopt) {
    core::ReportCommand command;
    command.principal = principal;
    if (name) {
      command.session_lease = &*name;
    } else {
      command.claims = &claims;
    }
    command.verdict = &verdict;
    command.early = early;
    command.happened = happened;
    command.material_version = version;
    effects_.clear();
    const core::ReportReply reply = pool_->Report(command, told, effects_);
    Say(absl::StrCat("report lease ", claims.seq.number(), " epoch ", claims.epoch, " ",
                     verdict.row, early ? " early: " : ": ",
                     std::string(core::Name(reply.disposition))));
    See("disposition", core::Name(reply.disposition));
    Mix(core::Name(reply.disposition));
    Mix(reply.next_recover);
    Note();
    model_.Reported(command, reply, effects_);
    model_.Told(effects_);
  }
  void Release(uint32_t event);
  void Renew(uint32_t event);
  void Cancel(uint32_t event);

  // --- edits ---
  std::shared_ptr<const core::Material> Secret(uint64_t event, core::Uid uid, uint64_t version,
                                               const core::Document& document) {
    auto material = std::make_shared<core::Material>();
    material->uid = uid;
    material->version = version;
    material->refreshable = document.kind == core::Kind::kOAuth && uid.number() % 2 == 0;
    if (document.kind == core::Kind::kOAuth && world_.Chance(event, "expires", 40)) {
      material->expire_time =
          now_ + absl::Minutes(static_cast<int64_t>(1 + world_.Pick(event, "expires#", 600)));
    }
    return material;
  }
  void Create(uint64_t event, const std::string& id);
  void Edit(uint32_t event);
  // The store says yes at once, no, or yes after some events.
  void Commit(uint64_t event, core::RowEdit row);
  void InstallDue(uint64_t event);
  void Install(const core::RowEdit& row);
  void Configure(uint32_t event);

  // --- the store ---
  static std::string Text(const core::HealthRecord& h);
  void Flush();
  void Crash(uint32_t event);

  // --- checks ---
  void CheckAll(bool everything);

  // Faults stop: all that is not disabled must come back.
  void Settle();
  static core::Material Of(const core::RowEdit& row);

  const Plan& plan_;
  World world_;
  core::Settings settings_;
  core::PolicyTable policy_;
  std::unique_ptr<core::Pool> pool_;
  model::NaivePool model_;
  core::Effects effects_;
  Outcome* out_ = nullptr;
  uint32_t event_ = 0;
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  uint64_t epoch_ = 1, next_uid_ = 1;
  std::map<std::string, Row> store_;
  std::map<std::tuple<std::string, std::string, std::string>, core::BackoffRecord> backoffs_;
  std::map<std::string, std::pair<uint64_t, core::RowEdit>> pending_;
  std::map<uint64_t, std::pair<std::string, core::SessionId>> waiting_;
  std::vector<Open> sessions_;
  std::vector<Held> held_;
};

}  // namespace credbroker::sim

#endif  // CREDBROKER_TESTS_SIM_RUN_H_
