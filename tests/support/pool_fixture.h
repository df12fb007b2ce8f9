// A pool with a clock of its own and short words for what tests do with it.
#ifndef CREDBROKER_TESTS_SUPPORT_POOL_FIXTURE_H_
#define CREDBROKER_TESTS_SUPPORT_POOL_FIXTURE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/policy.h"
#include "core/pool.h"

namespace credbroker::testing {

// An Acquire that owns its text; change the fields, then call.
struct Ask {
  std::string principal = "p1", group, model = "m", session, pin, request_id;
  std::vector<std::string> providers = {"claude"};
  std::vector<std::string> excluded;
  std::vector<std::pair<std::string, std::string>> labels;
  std::optional<core::Kind> kind;
  absl::Duration ttl = absl::ZeroDuration(), max_wait = absl::ZeroDuration();
  bool allow_probe = true;
};

class PoolFixture {
 public:
  explicit PoolFixture(core::Settings settings = {}, uint64_t seed = 1) {
    core::PoolOptions options;
    options.settings = std::move(settings);
    options.seed = seed;
    pool = std::make_unique<core::Pool>(std::move(options));
  }

  static std::shared_ptr<core::Document> Doc(const std::string& id) {
    auto document = std::make_shared<core::Document>();
    document->id = id;
    document->provider = "claude";
    return document;
  }
  core::Uid Add(std::shared_ptr<const core::Document> document, bool with_secret = true,
                std::optional<absl::Time> expires = std::nullopt) {
    core::Edit edit;
    edit.op = core::Edit::Op::kCreate;
    edit.why = core::Why::kCreated;
    edit.id = document->id;
    edit.document = std::move(document);
    auto row = pool->Prepare(edit, now).value();
    row.uid = pool->next_uid();
    if (with_secret) row.material = MaterialOf(row.uid, 1, expires);
    pool->Install(row, now, effects);
    return row.uid;
  }
  core::Uid Add(const std::string& id) { return Add(Doc(id)); }
  static std::shared_ptr<const core::Material> MaterialOf(
      core::Uid uid, uint64_t version, std::optional<absl::Time> expires = std::nullopt) {
    auto material = std::make_shared<core::Material>();
    material->uid = uid;
    material->version = version;
    material->expire_time = expires;
    return material;
  }
  // Applies `change` to a copy of the credential's document.
  template <typename Change>
  void Edit(const std::string& id, Change change) {
    core::Edit edit;
    edit.id = id;
    auto document = std::make_shared<core::Document>(*pool->Get(id, now)->document);
    change(*document);
    edit.document = std::move(document);
    pool->Install(pool->Prepare(edit, now).value(), now, effects);
  }
  void NewSecret(const std::string& id) {
    core::Edit edit;
    edit.id = id;
    edit.why = core::Why::kSecretReplaced;
    edit.secret = std::make_shared<core::SecretMaterial>();
    auto row = pool->Prepare(edit, now).value();
    row.material = MaterialOf(row.uid, row.secret->version);
    pool->Install(row, now, effects);
  }
  void SetIntent(const std::string& id, bool enabled,
                 std::optional<absl::Time> until = std::nullopt) {
    core::Edit edit;
    edit.id = id;
    edit.why = enabled ? core::Why::kEnabled : core::Why::kDisabled;
    core::Intent intent;
    intent.enabled = enabled;
    intent.since = now;
    intent.until = until;
    edit.intent = intent;
    pool->Install(pool->Prepare(edit, now).value(), now, effects);
  }
  void Reset(const std::string& id) {
    core::Edit edit;
    edit.id = id;
    edit.why = core::Why::kReset;
    edit.reset = true;
    pool->Install(pool->Prepare(edit, now).value(), now, effects);
  }
  void Delete(const std::string& id) {
    core::Edit edit;
    edit.op = core::Edit::Op::kDelete;
    edit.id = id;
    pool->Install(pool->Prepare(edit, now).value(), now, effects);
  }

  core::AcquireReply Acquire(const Ask& ask = {}) {
    const std::vector<absl::string_view> providers(ask.providers.begin(), ask.providers.end());
    const std::vector<absl::string_view> excluded(ask.excluded.begin(), ask.excluded.end());
    const std::vector<std::pair<absl::string_view, absl::string_view>> labels(ask.labels.begin(),
                                                                              ask.labels.end());
    return pool->Acquire(CommandOf(ask, providers, excluded, labels), now, effects);
  }
  core::Explanation Explain(const Ask& ask) {
    const std::vector<absl::string_view> providers(ask.providers.begin(), ask.providers.end());
    const std::vector<absl::string_view> excluded(ask.excluded.begin(), ask.excluded.end());
    const std::vector<std::pair<absl::string_view, absl::string_view>> labels(ask.labels.begin(),
                                                                              ask.labels.end());
    return pool->Explain(CommandOf(ask, providers, excluded, labels), "", 1000, now);
  }
  // The id granted, "probe:" before it for a probe, or the refusal's name.
  std::string Pick(const Ask& ask = {}) {
    const core::AcquireReply reply = Acquire(ask);
    last = reply;
    switch (reply.kind) {
      case core::AcquireReply::Kind::kGranted:
        return (reply.grant.probe ? "probe:" : "") + reply.grant.document->id.str();
      case core::AcquireReply::Kind::kParked:
        return "parked";
      case core::AcquireReply::Kind::kRefused:
        break;
    }
    return std::string(core::Name(reply.refusal.reason));
  }

  core::LeaseClaims Claims(const core::Grant& grant, const std::string& principal = "p1") const {
    core::LeaseClaims claims;
    claims.seq = grant.seq;
    claims.cell = grant.cell;
    claims.epoch = 1;
    claims.uid = grant.material->uid;
    claims.material_version = grant.material->version;
    claims.kind = grant.document->kind;
    claims.refreshable = grant.material->refreshable;
    claims.principal = principal;
    claims.provider = grant.document->provider;
    claims.model = grant.model;
    claims.granted = grant.granted;
    claims.expires = grant.expires;
    return claims;
  }
  core::ReportReply Report(const core::Grant& grant, const core::Verdict& verdict,
                           bool early = false, const std::string& principal = "p1") {
    const core::LeaseClaims claims = Claims(grant);
    core::ReportCommand command;
    command.principal = principal;
    command.claims = &claims;
    command.verdict = &verdict;
    command.early = early;
    return pool->Report(command, now, effects);
  }
  // Of something that happened some time ago; `version`: of the secret it is about, 0: the lease's.
  core::ReportReply ReportLate(const core::Grant& grant, const core::Verdict& verdict,
                               absl::Time happened, uint64_t version = 0) {
    const core::LeaseClaims claims = Claims(grant);
    core::ReportCommand command;
    command.principal = "p1";
    command.claims = &claims;
    command.verdict = &verdict;
    command.happened = happened;
    command.material_version = version;
    return pool->Report(command, now, effects);
  }
  // What the built-in policy makes of a status (and retry-after seconds).
  core::Verdict StatusVerdict(const core::Grant& grant, int status, int retry_after = -1) const {
    std::vector<std::pair<std::string, std::string>> headers;
    if (retry_after >= 0) headers.emplace_back("retry-after", std::to_string(retry_after));
    core::ReportFacts facts;
    facts.http_status = status;
    facts.headers = headers;
    return policy.Classify(grant.document->provider, grant.document->kind,
                           grant.material->refreshable, !grant.model.empty(), facts, now);
  }
  core::ReportReply ReportStatus(const core::Grant& grant, int status, int retry_after = -1) {
    return Report(grant, StatusVerdict(grant, status, retry_after));
  }
  bool Release(const core::Grant& grant, const std::string& principal = "p1") {
    return pool->Release(principal, Claims(grant, principal), now, effects);
  }
  void Pass(absl::Duration time) { AdvanceTo(now + time); }
  // Does everything due on the way, event by event.
  void AdvanceTo(absl::Time then) {
    for (absl::Time next = pool->NextEvent(); next <= then; next = pool->NextEvent()) {
      now = std::max(now, next);
      while (pool->Advance(now, 256, effects)) {
      }
    }
    now = then;
    pool->Advance(now, 256, effects);
  }
  core::CredentialView Get(const std::string& id) { return pool->Get(id, now).value(); }
  std::string StateName(const std::string& id) { return std::string(core::Name(Get(id).state)); }

  absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  core::PolicyTable policy;
  core::Effects effects;
  std::unique_ptr<core::Pool> pool;
  core::AcquireReply last;

 private:
  static core::AcquireCommand CommandOf(
      const Ask& ask, const std::vector<absl::string_view>& providers,
      const std::vector<absl::string_view>& excluded,
      const std::vector<std::pair<absl::string_view, absl::string_view>>& labels) {
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
    return command;
  }
};

}  // namespace credbroker::testing

#endif  // CREDBROKER_TESTS_SUPPORT_POOL_FIXTURE_H_
