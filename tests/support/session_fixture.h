// A PoolFixture with words for sessions.
#ifndef CREDBROKER_TESTS_SUPPORT_SESSION_FIXTURE_H_
#define CREDBROKER_TESTS_SUPPORT_SESSION_FIXTURE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tests/support/pool_fixture.h"

namespace credbroker::testing {

class SessionFixture : public PoolFixture {
 public:
  explicit SessionFixture(core::Settings settings = {}) : PoolFixture(std::move(settings)) {}
  // As after a restart that may have left sessions behind.
  SessionFixture(core::Settings settings, absl::Duration resume_only) : PoolFixture() {
    core::PoolOptions options;
    options.settings = std::move(settings);
    options.seed = 1;
    options.resume_only_until = now + resume_only;
    pool = std::make_unique<core::Pool>(std::move(options));
  }

  // A document with caps; 0: none.
  static std::shared_ptr<core::Document> Capped(const std::string& id, int cap, int model_cap = 0) {
    auto document = Doc(id);
    if (cap > 0) document->max_in_flight = cap;
    if (model_cap > 0) document->max_in_flight_per_model = model_cap;
    return document;
  }
  core::SessionId Open(const std::string& whose = "p1") { return pool->OpenSession(whose, now); }
  // The id granted, or the refusal's name; the lease is the last of `leases`.
  std::string PickIn(core::SessionId session, const std::string& model = "m",
                     absl::Duration max_wait = absl::ZeroDuration(),
                     const std::string& request_id = "") {
    core::AcquireCommand command = Command(session, model);
    command.max_wait = max_wait;
    command.request_id = request_id;
    last = pool->Acquire(command, now, effects);
    if (last.kind == core::AcquireReply::Kind::kParked) return "parked";
    if (last.kind == core::AcquireReply::Kind::kRefused) {
      return std::string(core::Name(last.refusal.reason));
    }
    leases.push_back(NameOf(session, last.grant.cell, last.grant.seq));
    return (last.grant.probe ? "probe:" : "") + last.grant.document->id.str();
  }
  // Ids of what was granted for stock, in order, and the refusal if there was one.
  std::vector<std::string> Stock(core::SessionId session, int count,
                                 const std::string& model = "m") {
    const core::AcquireCommand command = Command(session, model);
    std::vector<core::StockLease> granted;
    stock = pool->AcquireStock(command, count, now, granted, effects);
    std::vector<std::string> ids;
    for (const core::StockLease& lease : granted) {
      ids.emplace_back(pool->IdOf(lease.uid));
      models.emplace_back(lease.model);
      leases.push_back(NameOf(session, lease.cell, lease.seq));
    }
    if (stock.refusal) ids.emplace_back(core::Name(stock.refusal->reason));
    return ids;
  }
  static core::SessionLease NameOf(core::SessionId session, uint32_t cell, core::LeaseSeq seq) {
    return {session, cell, static_cast<uint32_t>(seq.number())};
  }
  core::ReportReply ReportIn(const core::SessionLease& lease, int status, int retry_after = -1) {
    core::Verdict verdict;
    verdict.outcome = core::Outcome::kSuccess;
    if (const auto facts = pool->FactsOf(lease)) {
      std::vector<std::pair<std::string, std::string>> headers;
      if (retry_after >= 0) headers.emplace_back("retry-after", std::to_string(retry_after));
      core::ReportFacts what;
      what.http_status = status;
      what.headers = headers;
      verdict = policy.Classify(facts->document->provider, facts->document->kind,
                                facts->refreshable, !facts->model.empty(), what, now);
    }
    core::ReportCommand command;
    command.session_lease = &lease;
    command.verdict = &verdict;
    return pool->Report(command, now, effects);
  }
  bool Release(const core::SessionLease& lease) { return pool->Release(lease, now, effects); }
  using PoolFixture::Release;
  core::AdoptResult Adopt(core::SessionId session, core::Uid uid, const std::string& model = "m",
                          absl::Duration age = absl::Seconds(10),
                          absl::Duration left = absl::Seconds(60)) {
    core::AdoptCommand command;
    command.session = session;
    command.uid = uid;
    command.model = model;
    command.material_version = 1;
    command.granted = now - age;
    command.expires = now + left;
    adopted = pool->Adopt(command, now, effects);
    if (adopted.result == core::AdoptResult::kAdopted) {
      leases.push_back(NameOf(session, adopted.cell, adopted.seq));
    }
    return adopted.result;
  }
  std::vector<core::Pool::HeldLease> Held(core::SessionId session) const {
    std::vector<core::Pool::HeldLease> held;
    pool->VisitSession(session, [&](const auto& lease) { held.push_back(lease); });
    return held;
  }
  // "reason[:model]" of each revocation since the last call.
  std::vector<std::string> Revocations() {
    std::vector<std::string> names;
    for (const core::Revoked& revoked : effects.revoked) {
      names.push_back(std::string(core::Name(revoked.reason)) +
                      (revoked.model.empty() ? "" : ":" + revoked.model));
    }
    effects.clear();
    return names;
  }
  uint32_t InFlight(const std::string& id) { return Get(id).in_flight; }
  core::PoolStats Stats() const { return pool->Stats(now); }
  void Check() const { pool->CheckInvariants(now); }

  std::vector<core::SessionLease> leases;  // granted, in order
  std::vector<std::string> models;         // of stock
  core::StockReply stock;
  core::AdoptReply adopted;
  std::string principal = "p1", group;  // of calls

 private:
  core::AcquireCommand Command(core::SessionId session, const std::string& model) const {
    core::AcquireCommand command;
    command.principal = principal;
    command.group = group;
    command.providers = providers_;
    command.model = model;
    command.session = session;
    return command;
  }
  std::vector<absl::string_view> providers_ = {"claude"};
};

}  // namespace credbroker::testing

#endif  // CREDBROKER_TESTS_SUPPORT_SESSION_FIXTURE_H_
