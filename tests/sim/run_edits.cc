// What operators, reloads, crashes and the end of a run do.
#include "tests/sim/run.h"

namespace credbroker::sim {

void Simulation::Create(uint64_t event, const std::string& id) {
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

void Simulation::Edit(uint32_t event) {
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
      intent.until = now_ + absl::Seconds(static_cast<int64_t>(world_.Pick(event, "until#", 3000)));
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

void Simulation::Commit(uint64_t event, core::RowEdit row) {
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

void Simulation::InstallDue(uint64_t event) {
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

void Simulation::Install(const core::RowEdit& row) {
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
  model_.Told(effects_);
}

void Simulation::Configure(uint32_t event) {
  Say("configure");
  settings_ = world_.SettingsAt(world_.Chance(event, "back to first", 50) ? 0 : event);
  effects_.clear();
  pool_->Configure(settings_, Told(event), effects_);
  Note();
  model_.Configured(settings_, effects_);
  model_.Told(effects_);
}

std::string Simulation::Text(const core::HealthRecord& h) {
  std::vector<std::string> records;
  for (const auto& r : h.records) {
    records.push_back(absl::StrCat(r.model, "/", std::string(core::Name(r.record.cause)), "/",
                                   r.record.level, "/", absl::FormatTime(r.record.block_until), "/",
                                   absl::FormatTime(r.record.avoid_until), "/",
                                   absl::FormatTime(r.record.began)));
  }
  std::sort(records.begin(), records.end());
  return absl::StrCat(h.uid.number(), "/", std::string(core::Name(h.auth)), "/",
                      std::string(core::Name(h.policy_cause)), "/", absl::StrJoin(records, " "));
}

void Simulation::Flush() {
  Say("flush");
  for (auto& [id, row] : store_) {
    row.health = row.behind;
    const auto live = pool_->Health(id);
    Expect(live != nullptr && row.health != nullptr, "no health of " + id);
    Expect(Text(*live) == Text(*row.health),
           absl::StrCat(id, ": stored health ", Text(*row.health), ", live ", Text(*live)));
  }
}

void Simulation::Crash(uint32_t event) {
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

void Simulation::CheckAll(bool everything) {
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
  for (const Open& session : sessions_) {
    if (session.epoch != epoch_) continue;
    std::vector<core::Pool::HeldLease> leases;
    pool_->VisitSession(session.id, [&](const auto& lease) { leases.push_back(lease); });
    model_.CompareSession(session.id, leases);
  }
}

void Simulation::Settle() {
  Say("settle");
  event_ = 2'000'000'000;
  for (const Open& session : sessions_) {
    if (session.epoch != epoch_) continue;
    // Half of them are not heard of any more.
    if (session.id.number() % 2 == 0) {
      pool_->DetachSession(session.id, now_ + absl::Seconds(30), now_);
      model_.Detached(session.id, now_ + absl::Seconds(30));
    }
  }
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
  Expect(pool_->Stats(now_).sessions_detached == 0, "a session outlived its deadline");
  Expect(pool_->Stats(now_).leases == 0 && pool_->Stats(now_).parked == 0, "leases or calls left");
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

core::Material Simulation::Of(const core::RowEdit& row) {
  core::Material material;
  material.uid = row.uid;
  material.version = row.secret->version;
  return material;
}

}  // namespace credbroker::sim
