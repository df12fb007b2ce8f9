#include "tests/bench/fleet.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <random>
#include <utility>

#include "absl/strings/str_format.h"
#include "tests/bench/floor.h"

namespace credbroker::bench {
namespace {

constexpr absl::string_view kPrincipal = "unix:/run/credbroker/broker.sock";
constexpr absl::string_view kProvider = "claude";
constexpr absl::string_view kModel = "claude-opus-4-1-20250805";
constexpr size_t kTokenBytes = 1'200;
constexpr int kSessions = 10'000;
constexpr int kEndedLeases = 262'144;
// The virtual clock of a step: 100,000 pairs a second.
constexpr absl::Duration kStep = absl::Microseconds(10);

core::Settings SettingsFor(Situation situation) {
  core::Settings settings;
  core::GroupSettings group;
  group.name = "default";
  if (situation == Situation::kWeighted) group.strategy = core::Strategy::kWeighted;
  settings.groups.push_back(std::move(group));
  return settings;
}

// How many of `credentials` wait.
int Waiting(Situation situation, int credentials) {
  switch (situation) {
    case Situation::kWaiting90:
      return credentials / 10 * 9;
    case Situation::kWaiting99:
      return credentials / 100 * 99;
    case Situation::kAllCooling:
      return credentials - 1;  // the last one once it holds the leases
    default:
      return 0;
  }
}

core::Verdict VerdictOf(int status, const char* retry_after, absl::Time now) {
  std::vector<std::pair<std::string, std::string>> headers;
  if (retry_after != nullptr) headers.emplace_back("retry-after", retry_after);
  core::ReportFacts facts;
  facts.http_status = status;
  facts.headers = headers;
  return core::PolicyTable().Classify(kProvider, core::Kind::kApiKey, false, true, facts, now);
}

std::shared_ptr<const core::HealthRecord> RateLimited(core::Uid uid, absl::Time now, int i) {
  auto health = std::make_shared<core::HealthRecord>();
  health->uid = uid;
  core::ScopedRecord scoped;
  scoped.record.cause = core::Cause::kRateLimit;
  scoped.record.level = 1;
  scoped.record.began = now - absl::Seconds(1);
  // Nobody recovers while the clock of a run goes on for its seconds.
  scoped.record.block_until = now + absl::Hours(1) + absl::Milliseconds(i % 60'000);
  scoped.record.avoid_until = now + absl::Hours(2);
  scoped.record.raw_hint = "retry-after: 3600";
  health->records.push_back(std::move(scoped));
  return health;
}

}  // namespace

absl::string_view Name(Situation situation) {
  switch (situation) {
    case Situation::kAllAvailable:
      return "0 % WAITING";
    case Situation::kWaiting90:
      return "90 % WAITING";
    case Situation::kWaiting99:
      return "99 % WAITING";
    case Situation::kAllCooling:
      return "all cooling";
    case Situation::kAffinity:
      return "affinity";
    case Situation::kWeighted:
      return "weighted";
  }
  return "";
}

Fleet::Fleet(Situation situation, int credentials, bool shuffled) : situation_(situation) {
  core::PoolOptions options;
  options.settings = SettingsFor(situation);
  options.seed = 1;
  pool_ = std::make_unique<core::Pool>(std::move(options));
  success_ = VerdictOf(200, nullptr, now_);
  claims_.epoch = 1;
  claims_.principal = std::string(kPrincipal);
  claims_.provider = std::string(kProvider);
  claims_.model = std::string(kModel);
  if (situation == Situation::kAffinity) {
    std::mt19937_64 random(3);
    for (int i = 0; i < kSessions; ++i) {
      sessions_.push_back(absl::StrFormat("%016x%016x", random(), random()));
    }
  }
  Load(credentials, shuffled);
  HoldLeases();
}

void Fleet::Load(int credentials, bool shuffled) {
  std::vector<int> order(static_cast<size_t>(credentials));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(2);
  if (shuffled) std::shuffle(order.begin(), order.end(), random);
  // Who waits is spread evenly over the order of ids.
  const int waiting = Waiting(situation_, credentials);
  std::vector<bool> waits(static_cast<size_t>(credentials), false);
  std::fill_n(waits.begin(), waiting, true);
  std::shuffle(waits.begin(), waits.end(), random);
  const std::string token(kTokenBytes, 't');
  for (const int i : order) {
    core::StoredCredential stored;
    stored.uid = core::Uid(static_cast<uint64_t>(i) + 1);
    auto document = std::make_shared<core::Document>();
    document->id = absl::StrFormat("claude-account-%07d@example.com", i);
    document->provider = std::string(kProvider);
    if (situation_ == Situation::kWeighted) document->weight = 1 + i % 5;
    stored.document = std::move(document);
    auto material = std::make_shared<core::Material>();
    material->uid = stored.uid;
    material->version = 1;
    std::vector<std::pair<std::string, core::Secret>> headers;
    headers.emplace_back("authorization", core::Secret(token));
    material->headers = core::RenderedHeaders(headers);
    stored.material = std::move(material);
    if (waits[static_cast<size_t>(i)]) stored.health = RateLimited(stored.uid, now_, i);
    if (!pool_->Load(std::move(stored), now_).ok()) abort();
  }
}

void Fleet::HoldLeases() {
  core::Grant last;
  for (int i = 0; i < kLiveLeases; ++i) last = Acquire();
  for (int i = 0; i < kEndedLeases; ++i) {
    last = Acquire();
    if (situation_ == Situation::kAllCooling && i + 1 == kEndedLeases) break;
    Report(last, success_);
  }
  if (situation_ == Situation::kAllCooling) Report(last, VerdictOf(429, "3600", now_));
}

core::Grant Fleet::Acquire() {
  core::AcquireCommand command;
  command.principal = kPrincipal;
  command.providers = absl::MakeConstSpan(&kProvider, 1);
  command.model = kModel;
  command.ttl = absl::Hours(1);
  if (!sessions_.empty()) {
    command.session_key = sessions_[next_session_];
    if (++next_session_ == sessions_.size()) next_session_ = 0;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  core::AcquireReply reply = pool_->Acquire(command, now_, effects_);
  if (reply.kind != core::AcquireReply::Kind::kGranted) abort();
  return std::move(reply.grant);
}

void Fleet::Report(const core::Grant& grant, const core::Verdict& verdict) {
  claims_.seq = grant.seq;
  claims_.cell = grant.cell;
  claims_.uid = grant.material->uid;
  claims_.material_version = grant.material->version;
  claims_.granted = grant.granted;
  claims_.expires = grant.expires;
  core::ReportCommand command;
  command.principal = kPrincipal;
  command.claims = &claims_;
  command.verdict = &verdict;
  std::lock_guard<std::mutex> lock(mutex_);
  const core::ReportReply reply = pool_->Report(command, now_, effects_);
  if (reply.disposition != core::Disposition::kAccepted) abort();
  effects_.clear();
}

uint64_t Fleet::Refuse() {
  core::AcquireCommand command;
  command.principal = kPrincipal;
  command.providers = absl::MakeConstSpan(&kProvider, 1);
  command.model = kModel;
  std::lock_guard<std::mutex> lock(mutex_);
  const core::AcquireReply reply = pool_->Acquire(command, now_, effects_);
  if (reply.kind != core::AcquireReply::Kind::kRefused) abort();
  effects_.clear();
  return reply.refusal.members;
}

uint64_t Fleet::RunStock(int steps) {
  constexpr int kBatch = 64;
  if (session_ == core::kNoSession) session_ = pool_->OpenSession(kPrincipal, now_);
  core::AcquireCommand acquire;
  acquire.principal = kPrincipal;
  acquire.providers = absl::MakeConstSpan(&kProvider, 1);
  acquire.model = kModel;
  acquire.session = session_;
  core::ReportCommand report;
  report.verdict = &success_;
  uint64_t sum = 0;
  for (int done = 0; done < steps; done += kBatch) {
    now_ += kBatch * kStep;
    const int count = std::min(kBatch, steps - done);
    stock_.clear();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (pool_->AcquireStock(acquire, count, now_, stock_, effects_).granted != count) abort();
    }
    std::lock_guard<std::mutex> lock(mutex_);
    for (const core::StockLease& lease : stock_) {
      const core::SessionLease name{session_, lease.cell,
                                    static_cast<uint32_t>(lease.seq.number())};
      report.session_lease = &name;
      sum += lease.uid.number();
      if (pool_->Report(report, now_, effects_).disposition != core::Disposition::kAccepted) {
        abort();
      }
    }
    effects_.clear();
  }
  return sum;
}

uint64_t Fleet::Run(int steps) {
  uint64_t sum = 0;
  for (int i = 0; i < steps; ++i) {
    now_ += kStep;
    if (situation_ == Situation::kAllCooling) {
      sum += Refuse();
    } else {
      const core::Grant grant = Acquire();
      sum += grant.seq.number();
      Report(grant, success_);
    }
  }
  return sum;
}

}  // namespace credbroker::bench
