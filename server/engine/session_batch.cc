// What one message of a session asks, applied hold by hold of the pool's lock.
#include <algorithm>
#include <utility>

#include "server/engine/engine_sessions.h"
#include "server/engine/engine_state.h"

namespace credbroker::engine {
namespace {

core::RefusalInfo Cancelled() {
  core::RefusalInfo refusal;
  refusal.reason = core::Refusal::kCancelled;
  return refusal;
}

core::ReportFacts Success() {
  core::ReportFacts facts;
  facts.http_status = 200;
  return facts;
}

// Applies one batch.
class Applier {
 public:
  Applier(EngineState& state, SessionBatch& batch)
      : state_(state), batch_(batch), policy_(state.policy()) {}

  void Run() {
    // Most successes mean the same whatever was used: then their credentials need not be looked at.
    plain_success_ = state_.PlainSuccess(policy_);
    if (plain_success_ == nullptr) {
      extra_.reserve(batch_.succeeded.size());
      for (const uint64_t lease : batch_.succeeded) {
        extra_.emplace_back().lease = lease;
        extra_.back().facts = Success();
      }
      Classify(extra_, extra_verdicts_);
    }
    Classify(batch_.reports, verdicts_);
    while (!Done()) {
      state_.Locked([this](core::Pool& pool, absl::Time now, core::Effects& effects) {
        budget_ = EngineSessions::kStep;
        Reports(pool, now, effects);
        Releases(pool, now, effects);
        Renewals(pool, now, effects);
        Stock(pool, now, effects);
        Acquires(pool, now, effects);
      });
    }
  }

 private:
  struct Judged {
    core::Verdict verdict;
    absl::Time happened = absl::InfiniteFuture();
    bool known = false;
  };

  bool Done() const {
    return succeeded_ == batch_.succeeded.size() && reported_ == batch_.reports.size() &&
           released_ == batch_.released.size() && renewed_ == batch_.renewals.size() &&
           wish_ == batch_.wishes.size() && acquired_ == batch_.acquires.size() &&
           (batch_.expired == 0 || expired_counted_);
  }

  // What each lease is of, under the lock; what the policy makes of it, outside.
  void Classify(absl::Span<const SessionBatch::Report> reports, std::vector<Judged>& verdicts) {
    verdicts.resize(reports.size());
    std::vector<std::optional<core::LeaseFacts>> facts(reports.size());
    for (size_t i = 0; i < reports.size();) {
      state_.Read([&](const core::Pool& pool, absl::Time) {
        const size_t end = std::min(reports.size(), i + EngineSessions::kStep);
        for (; i < end; ++i) facts[i] = pool.FactsOf(LeaseOf(batch_.session, reports[i].lease));
      });
    }
    const absl::Time now = state_.Now();
    for (size_t i = 0; i < reports.size(); ++i) {
      if (!facts[i].has_value()) continue;  // stays kUnknown
      const core::LeaseFacts& lease = *facts[i];
      Judged& judged = verdicts[i];
      judged.known = true;
      judged.happened = std::min(now, std::max(reports[i].happened, lease.granted));
      judged.verdict =
          policy_->Classify(lease.document->provider, lease.document->kind, lease.refreshable,
                            !lease.model.empty(), reports[i].facts, judged.happened);
    }
  }

  void Reports(core::Pool& pool, absl::Time now, core::Effects& effects) {
    for (; succeeded_ < batch_.succeeded.size() && budget_ > 0; ++succeeded_, --budget_) {
      const uint64_t number = batch_.succeeded[succeeded_];
      const core::SessionLease lease = LeaseOf(batch_.session, number);
      core::ReportCommand command{.session_lease = &lease,
                                  .verdict = plain_success_.get(),
                                  .terse = plain_success_ != nullptr};
      if (plain_success_ == nullptr) command.verdict = &extra_verdicts_[succeeded_].verdict;
      core::ReportReply reply = pool.Report(command, now, effects);
      if (reply.disposition == core::Disposition::kAccepted) {
        ++batch_.ended;
      } else {
        batch_.odd_successes.emplace_back(number, std::move(reply));
      }
    }
    for (; reported_ < batch_.reports.size() && budget_ > 0; ++reported_, --budget_) {
      SessionBatch::Report& report = batch_.reports[reported_];
      const Judged& judged = verdicts_[reported_];
      if (!judged.known) continue;
      const core::SessionLease lease = LeaseOf(batch_.session, report.lease);
      const core::ReportCommand command{.session_lease = &lease,
                                        .verdict = &judged.verdict,
                                        .early = report.early,
                                        .material_version = report.material_version,
                                        .happened = judged.happened};
      report.reply = pool.Report(command, now, effects);
      if (!report.early && report.reply.disposition == core::Disposition::kAccepted) {
        ++batch_.ended;
      }
    }
  }

  void Releases(core::Pool& pool, absl::Time now, core::Effects& effects) {
    for (; released_ < batch_.released.size() && budget_ > 0; ++released_, --budget_) {
      const uint64_t number = batch_.released[released_];
      if (pool.Release(LeaseOf(batch_.session, number), now, effects)) ++batch_.ended;
    }
    if (budget_ > 0 && batch_.expired > 0 && !expired_counted_) {
      pool.CountExpired(batch_.expired);
      expired_counted_ = true;
    }
  }

  void Renewals(core::Pool& pool, absl::Time now, core::Effects& effects) {
    for (; renewed_ < batch_.renewals.size() && budget_ > 0; ++renewed_, --budget_) {
      SessionBatch::Renewal& renewal = batch_.renewals[renewed_];
      renewal.reply = pool.Renew(LeaseOf(batch_.session, renewal.lease), renewal.ttl, now, effects);
    }
  }

  void Stock(core::Pool& pool, absl::Time now, core::Effects& effects) {
    while (wish_ < batch_.wishes.size() && budget_ > 0) {
      const SessionBatch::Wish& wish = batch_.wishes[wish_];
      const int left = wish.count - granted_of_wish_;
      const int asked = std::min(left, budget_);
      if (asked > 0) {
        issued_.clear();
        core::StockReply reply = pool.AcquireStock(*wish.command, asked, now, issued_, effects);
        Keep(reply, left);
        budget_ -= asked;
        granted_of_wish_ += asked;
        if (!reply.refusal.has_value() && granted_of_wish_ < wish.count) continue;
      }
      ++wish_;
      granted_of_wish_ = 0;
    }
  }

  // The models' names are borrowed from the pool, so they are copied while it is held.
  void Keep(const core::StockReply& reply, int left) {
    SessionBatch::Stock& stock = batch_.stocks.emplace_back();
    stock.wish = wish_;
    stock.begin = batch_.leases.size();
    absl::string_view last;
    uint32_t model = 0;
    for (const core::StockLease& lease : issued_) {
      if (stock.models.empty() || lease.model.data() != last.data() ||
          lease.model.size() != last.size()) {
        const auto found = std::find(stock.models.begin(), stock.models.end(), lease.model);
        model = static_cast<uint32_t>(found - stock.models.begin());
        if (found == stock.models.end()) stock.models.emplace_back(lease.model);
        last = lease.model;
      }
      batch_.leases.push_back(
          {.lease = LeaseNumber(lease.seq, lease.cell), .uid = lease.uid, .model = model});
    }
    stock.end = batch_.leases.size();
    stock.order = reply.order;
    stock.granted = reply.granted_at;
    stock.expires = reply.expires;
    if (!reply.refusal.has_value()) return;
    stock.refusal = reply.refusal;
    stock.refused = left - reply.granted;
  }

  void Acquires(core::Pool& pool, absl::Time now, core::Effects& effects) {
    for (; acquired_ < batch_.acquires.size() && budget_ > 0; ++acquired_, --budget_) {
      SessionBatch::Acquire& acquire = batch_.acquires[acquired_];
      acquire.reply = pool.Acquire(acquire.command, now, effects);
      if (acquire.reply.kind == core::AcquireReply::Kind::kParked) {
        // Under the same lock, so that nobody can wake a waiter that is not yet known.
        state_.ParkForSession(acquire.reply.waiter, acquire.command.principal,
                              std::move(acquire.done));
      }
    }
  }

  EngineState& state_;
  SessionBatch& batch_;
  const std::shared_ptr<const core::PolicyTable> policy_;
  std::shared_ptr<const core::Verdict> plain_success_;
  std::vector<SessionBatch::Report> extra_;
  std::vector<Judged> extra_verdicts_, verdicts_;
  std::vector<core::StockLease> issued_;
  int budget_ = 0, granted_of_wish_ = 0;
  size_t succeeded_ = 0, reported_ = 0, released_ = 0, renewed_ = 0, wish_ = 0, acquired_ = 0;
  bool expired_counted_ = false;
};

bool SameMeaning(const core::Verdict& a, const core::Verdict& b) {
  return a.outcome == b.outcome && a.action == b.action && a.advice == b.advice &&
         a.windows.empty() && b.windows.empty();
}

// What a plain 2xx means, if it means the same for every credential; else null.
std::shared_ptr<const core::Verdict> JudgeSuccess(const core::PolicyTable& policy,
                                                  const core::Settings& settings, absl::Time now) {
  const core::ReportFacts facts = Success();
  auto verdict = std::make_shared<const core::Verdict>(
      policy.Classify("\x01", core::Kind::kApiKey, false, true, facts, now));
  if (verdict->outcome != core::Outcome::kSuccess || verdict->action != core::Action::kNone) {
    return nullptr;
  }
  std::vector<absl::string_view> providers = {"\x01"};
  for (const core::ProviderSettings& provider : settings.providers) {
    providers.push_back(provider.name);
  }
  for (const absl::string_view provider : providers) {
    for (const core::Kind kind :
         {core::Kind::kOAuth, core::Kind::kApiKey, core::Kind::kServiceAccount}) {
      for (const bool refreshable : {false, true}) {
        for (const bool named : {false, true}) {
          if (!SameMeaning(*verdict,
                           policy.Classify(provider, kind, refreshable, named, facts, now))) {
            return nullptr;
          }
        }
      }
    }
  }
  return verdict;
}

}  // namespace

void SessionBatch::Clear() {
  session = core::kNoSession;
  succeeded = {};
  reports.clear();
  released = {};
  expired = 0;
  renewals.clear();
  wishes.clear();
  acquires.clear();
  odd_successes.clear();
  leases.clear();
  stocks.clear();
  ended = 0;
}

// --- EngineState's part ---

std::shared_ptr<const core::Verdict> EngineState::PlainSuccess(
    const std::shared_ptr<const core::PolicyTable>& policy) {
  MutexLock lock(config_);
  if (success_of_ != policy || success_settings_ != settings_) {
    plain_success_ = JudgeSuccess(*policy, *settings_, clock_.Now());
    success_of_ = policy;
    success_settings_ = settings_;
  }
  return plain_success_;
}

void EngineState::ParkForSession(core::WaiterId waiter, absl::string_view principal,
                                 absl::AnyInvocable<void(core::AcquireReply)> done) {
  mutex_.AssertHeld();
  waiters_[waiter] = Waiter{
      .done = [done = std::move(done)](
                  AcquireAnswer answer) mutable { std::move(done)(std::move(answer.reply)); },
      .principal = std::string(principal),
      .session = true};
}

// --- EngineSessions' part ---

void EngineSessions::Apply(SessionBatch& batch) {
  if (state_.serving()) return Applier(state_, batch).Run();
  for (size_t i = 0; i < batch.wishes.size(); ++i) {
    SessionBatch::Stock& stock = batch.stocks.emplace_back();
    stock.wish = i;
    stock.refused = batch.wishes[i].count;
    stock.refusal = Cancelled();
  }
  for (SessionBatch::Acquire& acquire : batch.acquires) {
    acquire.reply.kind = core::AcquireReply::Kind::kRefused;
    acquire.reply.refusal = Cancelled();
  }
}

void EngineSessions::Release(core::SessionId session, absl::Span<const uint64_t> leases) {
  SessionBatch batch;
  batch.session = session;
  batch.released = leases;
  if (state_.serving()) Applier(state_, batch).Run();
}

}  // namespace credbroker::engine
