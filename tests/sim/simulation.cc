#include "tests/sim/simulation.h"

#include <algorithm>
#include <functional>
#include <iostream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/fault.h"
#include "core/pool.h"
#include "tests/model/naive_pool.h"
#include "tests/sim/world.h"

namespace credbroker::sim {

using core::AcquireReply;
using core::Cause;
using model::Mismatch;
using testing::Ask;

namespace {

void Expect(bool ok, const std::string& what) {
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
        backoffs_[{change.backoff->provider, change.backoff->model}] = *change.backoff;
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
      NoteReply(woken.reply, waiting_[woken.waiter.number()]);
      waiting_.erase(woken.waiter.number());
    }
  }
  void NoteReply(const AcquireReply& reply, const std::string& principal) {
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
      Say(absl::StrCat("  granted ", reply.grant.document->id, reply.grant.probe ? " as probe" : "",
                       " lease ", reply.grant.seq.number(), " to ", principal));
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
      held_.push_back(held);
      if (held_.size() > 600) held_.erase(held_.begin(), held_.begin() + 200);
    } else {
      See("grant", "parked");
      Say(absl::StrCat("  parked as ", reply.waiter.number()));
      Mix(absl::StrCat("parked", reply.waiter.number()));
    }
  }

  // --- events ---
  void Step(uint32_t event) {
    InstallDue(event);
    AdvanceTo(now_ + world_.Step(event), world_.Chance(event, "late", 15));
    const uint64_t kind = world_.Pick(event, "kind of event", 1000);
    if (kind < 400) return Acquire(event);
    if (kind < 740) return Report(event);
    if (kind < 780) return Release(event);
    if (kind < 810) return Renew(event);
    if (kind < 840) return Cancel(event);
    if (kind < 880) return Explain(event);
    if (kind < 960) return Edit(event);
    if (kind < 970) return Configure(event);
    if (kind < 975) return Crash(event);
    if (kind < 995) return Flush();
    Say("time passes");
  }

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

  static std::string Show(const Ask& ask) {
    return absl::StrCat(
        ask.principal, " ", ask.group, "/", absl::StrJoin(ask.providers, ","), "/", ask.model,
        ask.session.empty() ? "" : " session " + ask.session,
        ask.pin.empty() ? "" : " pin " + ask.pin,
        ask.excluded.empty() ? "" : " without " + absl::StrJoin(ask.excluded, ","),
        ask.labels.empty() ? "" : " labels", ask.kind ? " kind" : "",
        ask.request_id.empty() ? "" : " request " + ask.request_id,
        ask.max_wait == absl::ZeroDuration() ? "" : " waits " + absl::FormatDuration(ask.max_wait),
        ask.allow_probe ? "" : " no probe");
  }

  void Acquire(uint32_t event) {
    // Some calls are sent again.
    const bool again = event > 8 && world_.Chance(event, "again", 12);
    const Ask ask = world_.Call(again ? event - 1 - world_.Pick(event, "again#", 4) : event);
    Say("acquire " + Show(ask));
    DoAcquire(ask, Told(event));
  }
  AcquireReply DoAcquire(const Ask& ask, absl::Time told) {
    AcquireReply reply;
    WithCommand(ask, [&](const core::AcquireCommand& command) {
      effects_.clear();
      reply = pool_->Acquire(command, told, effects_);
      if (reply.kind == AcquireReply::Kind::kParked)
        waiting_[reply.waiter.number()] = ask.principal;
      Note();
      NoteReply(reply, ask.principal);
      model_.Acquired(command, reply, effects_);
    });
    return reply;
  }
  void Explain(uint32_t event) {
    const Ask ask = world_.Call(event);
    Say("explain " + Show(ask));
    WithCommand(ask, [&](const core::AcquireCommand& command) {
      const core::Explanation e = pool_->Explain(command, "", 1000, now_);
      for (const auto& c : e.candidates) See("candidacy", core::Name(c.candidacy));
      Mix(e.would_choose);
      model_.Explained(command, e);
    });
  }

  // A lease that an event some way back got, or the one before it.
  const Held* Target(uint32_t event) const {
    const uint64_t back =
        1 + world_.Pick(event, "back", world_.Chance(event, "far", 15) ? 300 : 12);
    const Held* found = nullptr;
    for (const Held& held : held_) {
      if (held.event + back <= event) found = &held;
    }
    return found;
  }
  void Report(uint32_t event) {
    const Held* held = Target(event);
    if (held == nullptr) return;
    const World::Answer answer = world_.Upstream(event);
    const bool foreign = world_.Chance(event, "foreign", 3);
    core::ReportFacts facts;
    facts.http_status = answer.status;
    facts.stated = answer.stated;
    facts.headers = answer.headers;
    const core::Verdict verdict =
        policy_.Classify(held->claims.provider, held->claims.kind, held->claims.refreshable,
                         !held->claims.model.empty(), facts, now_);
    DoReport(held->claims, verdict, foreign ? "px" : held->claims.principal,
             world_.Chance(event, "early", 12), Told(event));
  }
  void DoReport(const core::LeaseClaims claims, const core::Verdict& verdict,
                const std::string& principal, bool early, absl::Time told) {
    core::ReportCommand command;
    command.principal = principal;
    command.claims = &claims;
    command.verdict = &verdict;
    command.early = early;
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
  }
  void Release(uint32_t event) {
    const Held* held = Target(event);
    if (held == nullptr) return;
    const core::LeaseClaims claims = held->claims;
    const std::string who = world_.Chance(event, "foreign", 10) ? "px" : claims.principal;
    effects_.clear();
    const bool released = pool_->Release(who, claims, Told(event), effects_);
    Say(absl::StrCat("release lease ", claims.seq.number(), " epoch ", claims.epoch, ": ",
                     released));
    Note();
    model_.Released(who, claims, released, effects_);
  }
  void Renew(uint32_t event) {
    const Held* held = Target(event);
    if (held == nullptr) return;
    const core::LeaseClaims claims = held->claims;
    const std::string who = world_.Chance(event, "foreign", 10) ? "px" : claims.principal;
    const absl::Duration ttl = absl::Seconds(static_cast<int64_t>(world_.Pick(event, "ttl", 5000)));
    effects_.clear();
    const core::RenewReply reply = pool_->Renew(who, claims, ttl, Told(event), effects_);
    Say(absl::StrCat("renew lease ", claims.seq.number()));
    Mix(reply.expires);
    model_.Renewed(who, claims, ttl, reply);
  }
  void Cancel(uint32_t event) {
    if (waiting_.empty()) return;
    auto it = waiting_.begin();
    std::advance(it, static_cast<ptrdiff_t>(world_.Pick(event, "whom", waiting_.size())));
    const uint64_t waiter = it->first;
    Say(absl::StrCat("cancel ", waiter));
    effects_.clear();
    pool_->CancelWait(core::WaiterId(waiter), Told(event), effects_);
    Note();
    model_.Cancelled(waiter, effects_);
  }

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
  void Create(uint64_t event, const std::string& id) {
    core::Edit edit;
    edit.op = core::Edit::Op::kCreate;
    edit.why = core::Why::kCreated;
    edit.id = id;
    edit.document = world_.NewDocument(event, id);
    auto row = pool_->Prepare(edit, now_);
    Expect(row.ok(), "a new credential was not accepted");
    row->uid = core::Uid(next_uid_++);
    if (!world_.Chance(event, "no secret", 5))
      row->material = Secret(event, row->uid, 1, *row->document);
    Commit(event, *std::move(row));
  }
  void Edit(uint32_t event) {
    const std::string id =
        world_.IdAt(world_.Pick(event, "id", static_cast<uint64_t>(world_.size())));
    if (pending_.contains(id)) return;
    const auto view = pool_->Get(id, now_);
    if (!view) {
      Say("create " + id);
      return Create(event, id);
    }
    core::Edit edit;
    edit.id = id;
    const uint64_t kind = world_.Pick(event, "edit", 100);
    std::string what = "change";
    if (kind < 35) {
      edit.document = world_.Changed(event, *view->document);
    } else if (kind < 60) {
      const bool enabled = !view->intent.enabled || world_.Chance(event, "enable", 40);
      edit.why = enabled ? core::Why::kEnabled : core::Why::kDisabled;
      core::Intent intent;
      intent.enabled = enabled;
      intent.since = now_;
      if (!enabled && world_.Chance(event, "until", 60)) {
        intent.until =
            now_ + absl::Seconds(static_cast<int64_t>(world_.Pick(event, "until#", 3000)));
      }
      edit.intent = intent;
      what = enabled ? "enable" : "disable";
    } else if (kind < 75) {
      edit.why = core::Why::kReset;
      edit.reset = true;
      what = "reset";
    } else if (kind < 90) {
      edit.why = core::Why::kSecretReplaced;
      edit.secret = std::make_shared<core::SecretMaterial>();
      what = "new secret";
    } else {
      edit.op = core::Edit::Op::kDelete;
      edit.why = core::Why::kDeleted;
      what = "delete";
    }
    Say(what + " " + id);
    auto row = pool_->Prepare(edit, Told(event));
    Expect(row.ok(), "an edit was not accepted");
    if (row->secret) row->material = Secret(event, row->uid, row->secret->version, *view->document);
    Commit(event, *std::move(row));
  }
  // The store says yes at once, no, or yes after some events.
  void Commit(uint64_t event, core::RowEdit row) {
    const uint64_t luck = event >= 1'000'000'000 ? 0 : world_.Pick(event, "store", 100);
    if (luck < 75) return Install(row);
    if (luck < 85) {
      Say("  the store failed");
      return;
    }
    Say("  the store is slow");
    const uint64_t due = event + 1 + world_.Pick(event, "slow", 8);
    const std::string id = row.id;
    pending_[id] = {due, std::move(row)};
  }
  void InstallDue(uint64_t event) {
    for (auto it = pending_.begin(); it != pending_.end();) {
      if (it->second.first > event) {
        ++it;
        continue;
      }
      const core::RowEdit row = it->second.second;
      it = pending_.erase(it);
      Say("the store is done with " + row.id);
      Install(row);
    }
  }
  void Install(const core::RowEdit& row) {
    if (row.op == core::Edit::Op::kDelete) {
      store_.erase(row.id);
    } else {
      Row& stored = store_[row.id];
      if (row.op == core::Edit::Op::kCreate) stored = Row();
      stored.uid = row.uid.number();
      if (row.document) stored.document = row.document;
      if (row.intent) stored.intent = row.intent;
      if (row.material) stored.material = row.material;
    }
    effects_.clear();
    pool_->Install(row, now_, effects_);
    Note();
    // What an edit does to health is committed with it.
    if (auto it = store_.find(row.id); it != store_.end()) it->second.health = it->second.behind;
    model_.Installed(row, effects_);
  }
  void Configure(uint32_t event) {
    Say("configure");
    settings_ = world_.SettingsAt(world_.Chance(event, "back to first", 50) ? 0 : event);
    effects_.clear();
    pool_->Configure(settings_, Told(event), effects_);
    Note();
    model_.Configured(settings_, effects_);
  }

  // --- the store ---
  static std::string Text(const core::HealthRecord& h) {
    std::vector<std::string> records;
    for (const auto& r : h.records) {
      records.push_back(absl::StrCat(r.model, "/", std::string(core::Name(r.record.cause)), "/",
                                     r.record.level, "/", absl::FormatTime(r.record.block_until),
                                     "/", absl::FormatTime(r.record.avoid_until), "/",
                                     absl::FormatTime(r.record.began)));
    }
    std::sort(records.begin(), records.end());
    return absl::StrCat(h.uid.number(), "/", std::string(core::Name(h.auth)), "/",
                        std::string(core::Name(h.policy_cause)), "/", absl::StrJoin(records, " "));
  }
  void Flush() {
    Say("flush");
    for (auto& [id, row] : store_) {
      row.health = row.behind;
      const auto live = pool_->Health(id);
      Expect(live != nullptr && row.health != nullptr, "no health of " + id);
      Expect(Text(*live) == Text(*row.health),
             absl::StrCat(id, ": stored health ", Text(*row.health), ", live ", Text(*live)));
    }
  }
  void Crash(uint32_t event) {
    Say("crash");
    if (world_.Chance(event, "flushed", 70)) Flush();
    pending_.clear();
    waiting_.clear();
    core::PoolOptions options;
    options.settings = settings_;
    options.seed = plan_.seed;
    options.epoch = ++epoch_;
    options.first_uid = core::Uid(next_uid_);
    if (world_.Chance(event, "sessions", 60)) options.resume_only_until = now_ + absl::Seconds(30);
    model_.Restarted(epoch_, options.resume_only_until);
    pool_ = std::make_unique<core::Pool>(std::move(options));
    for (auto& [id, row] : store_) {
      core::StoredCredential stored;
      stored.uid = core::Uid(row.uid);
      stored.document = row.document;
      stored.intent = row.intent;
      stored.material = row.material;
      stored.health = row.health;
      row.behind = row.health;
      model_.Loaded(row.uid, row.document, row.intent, row.material, row.health.get());
      Expect(pool_->Load(std::move(stored), now_).ok(), "a stored credential does not load");
      row.behind = pool_->Health(id);
    }
    for (const auto& [key, backoff] : backoffs_) {
      pool_->LoadBackoff(backoff, now_);
      model_.LoadedBackoff(backoff);
    }
    Drain();
  }

  // --- checks ---
  void CheckAll(bool everything) {
    if (!everything) return;
    size_t rows = 0;
    for (const auto& [id, row] : store_) {
      const auto view = pool_->Get(id, now_);
      Expect(view.has_value(), id + " is lost");
      Expect(view->document->revision == row.document->revision, id + " is not as committed");
      model_.Compare(*view);
      ++rows;
    }
    const core::PoolStats stats = pool_->Stats(now_);
    Expect(stats.credentials == rows, "credentials nobody made");
    model_.CompareCounts(stats);
    pool_->CheckInvariants(now_);
  }

  // Faults stop: all that is not disabled must come back.
  void Settle() {
    Say("settle");
    event_ = 2'000'000'000;
    InstallDue(event_);
    AdvanceTo(now_ + absl::Minutes(136), false);  // the longest lease, the longest block
    for (const auto& [id, row] : store_) {
      if (row.material == nullptr || !row.material->expire_time) continue;
      core::Edit edit;
      edit.id = id;
      edit.why = core::Why::kSecretReplaced;
      edit.secret = std::make_shared<core::SecretMaterial>();
      auto prepared = pool_->Prepare(edit, now_).value();
      auto material = std::make_shared<core::Material>(Of(prepared));
      prepared.material = material;
      Install(prepared);
    }
    const auto held_back = model_.NotAvailable();
    Expect(!held_back, "after everything: " + held_back.value_or(""));
    CheckAll(true);
    Expect(pool_->Stats(now_).leases == 0 && pool_->Stats(now_).parked == 0,
           "leases or calls left");
    int looked = 0;
    for (const auto& [id, row] : store_) {
      if (++looked > 20) break;
      if (pool_->Get(id, now_)->state != core::State::kAvailable) continue;
      for (int tries = 0;; ++tries) {
        Expect(tries < 20, id + " cannot be had");
        Ask ask;
        ask.group = row.document->group;
        ask.providers = {row.document->provider};
        ask.model = "";
        ask.pin = id;
        const AcquireReply reply = DoAcquire(ask, now_);
        if (reply.kind != AcquireReply::Kind::kGranted) {
          AdvanceTo(now_ + absl::Seconds(30), false);
          continue;
        }
        core::Verdict good;
        good.outcome = core::Outcome::kSuccess;
        AdvanceTo(now_ + absl::Milliseconds(1), false);
        DoReport(held_.back().claims, good, "p1", false, now_);
        break;
      }
      const auto view = pool_->Get(id, now_);
      Expect(view->state == core::State::kAvailable && !view->half_open && view->in_flight == 0,
             id + " is not fully open after a success");
    }
    CheckAll(true);
  }
  static core::Material Of(const core::RowEdit& row) {
    core::Material material;
    material.uid = row.uid;
    material.version = row.secret->version;
    return material;
  }

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
  std::map<std::pair<std::string, std::string>, core::BackoffRecord> backoffs_;
  std::map<std::string, std::pair<uint64_t, core::RowEdit>> pending_;
  std::map<uint64_t, std::string> waiting_;
  std::vector<Held> held_;
};

}  // namespace

Outcome Run(const Plan& plan) {
  Outcome out;
#ifdef CREDBROKER_SEEDED_FAULTS
  core::SeededFaultOn() = plan.fault;
#endif
  try {
    Simulation simulation(plan);
    simulation.Run(&out);
  } catch (const std::exception& e) {
    out.ok = false;
    out.failure = e.what();
  }
  return out;
}

Plan FirstEvents(uint64_t seed, uint32_t count) {
  Plan plan;
  plan.seed = seed;
  for (uint32_t i = 1; i <= count; ++i) plan.events.push_back(i);
  return plan;
}

}  // namespace credbroker::sim
