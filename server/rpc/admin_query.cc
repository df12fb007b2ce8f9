// Questions that change nothing: Explain, GetStats, TestPolicy.
#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "core/model_rules.h"
#include "google/rpc/status.pb.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/convert.h"
#include "server/rpc/page_token.h"
#include "server/rpc/redact.h"
#include "server/rpc/status.h"
#include "server/rpc/validate.h"

namespace credbroker::rpc {
namespace {

constexpr int kStep = 256;

template <typename Counts, typename Add>
void FillCauses(const Counts& counts, Add add) {
  for (int i = 1; i < core::kCauseCount; ++i) {
    const auto count = static_cast<int64_t>(counts[static_cast<size_t>(i)]);
    if (count == 0) continue;
    v1::CauseCount* out = add();
    out->set_cause(ToProto(static_cast<core::Cause>(i)));
    out->set_count(count);
  }
}

// Where a candidate stands in an answer: the highest priority first, then by id.
using Place = std::pair<int64_t, std::string>;

std::optional<Place> PlaceOf(const std::string& query, const std::string& token) {
  const auto parts = DecodePageToken(query, token);
  Place place;
  if (!parts.has_value() || parts->size() != 2 || !absl::SimpleAtoi((*parts)[0], &place.first)) {
    return std::nullopt;
  }
  place.second = (*parts)[1];
  return place;
}

// "waiting", "model waiting" ...
std::string DetailOf(v1::Verdict verdict) {
  absl::string_view name = v1::Verdict_Name(verdict);
  absl::ConsumePrefix(&name, "VERDICT_");
  return absl::StrReplaceAll(absl::AsciiStrToLower(name), {{"_", " "}});
}

void FillCandidate(const core::Candidate& candidate, v1::Candidate* out) {
  out->set_credential_id(candidate.id);
  out->set_verdict(ToProto(candidate.candidacy, candidate.cause));
  out->set_detail(DetailOf(out->verdict()));
  out->set_cause(ToProto(candidate.cause));
  out->set_state(ToProto(candidate.state));
  out->set_half_open(candidate.half_open);
  out->set_priority(static_cast<int32_t>(candidate.priority));
  if (candidate.until > absl::InfinitePast() && candidate.until < absl::InfiniteFuture()) {
    SetTime(candidate.until, out->mutable_next_recover_time());
  }
}

void CompleteCandidate(const core::CredentialView& view, v1::Candidate* out) {
  out->set_provider(view.document->provider);
  out->set_weight(static_cast<int32_t>(view.document->weight));
  out->set_in_flight(static_cast<int32_t>(view.in_flight));
}

void FillAnswer(const core::Explanation& explanation, absl::Time now, v1::ExplainResponse& out) {
  out.set_chosen_credential_id(explanation.would_choose);
  out.set_probe(explanation.would_probe);
  if (explanation.would == core::AcquireReply::Kind::kGranted) {
    out.mutable_answer()->set_code(0);
  } else {
    const grpc::Status status = FromRefusal(explanation.refusal, now);
    if (!out.mutable_answer()->ParseFromString(status.error_details())) {
      out.mutable_answer()->set_code(static_cast<int>(status.error_code()));
    }
  }
  FillCauses(explanation.refusal.counts, [&out] { return out.add_cause_counts(); });
  // As the configuration writes it.
  out.set_strategy(absl::StrReplaceAll(core::Name(explanation.strategy), {{"_", "-"}}));
  out.set_bound_credential_id(explanation.bound);
  SetTime(now, out.mutable_time());
}

void FillPool(const core::GroupProviderStats& from, v1::PoolStats* out) {
  out->set_group(from.group);
  out->set_provider(from.provider);
  v1::StateCounts* counts = out->mutable_counts();
  counts->set_available(static_cast<int64_t>(from.by_state[0]));
  counts->set_waiting(static_cast<int64_t>(from.by_state[1]));
  counts->set_disabled(static_cast<int64_t>(from.by_state[2]));
  counts->set_busy(static_cast<int64_t>(from.busy));
  counts->set_half_open(static_cast<int64_t>(from.half_open));
  FillCauses(from.by_cause, [out] { return out->add_causes(); });
  out->set_live_leases(static_cast<int64_t>(from.in_flight));
  out->set_parked_calls(static_cast<int64_t>(from.parked));
  if (from.next_recover != absl::InfiniteFuture()) {
    SetTime(from.next_recover, out->mutable_next_recover_time());
  }
}

void FillBackoff(const core::BackoffView& from, v1::BackoffStats* out) {
  out->set_scope(!from.egress.empty() ? v1::FAILURE_SCOPE_EGRESS
                 : from.model.empty() ? v1::FAILURE_SCOPE_PROVIDER
                                      : v1::FAILURE_SCOPE_PROVIDER_MODEL);
  out->set_provider(from.provider);
  out->set_model(from.model);
  out->set_egress(RedactUrl(from.egress));
  SetTime(from.block_until, out->mutable_block_until());
  SetTime(from.avoid_until, out->mutable_avoid_until());
  out->set_cause(ToProto(from.cause));
}

void FillSessions(const core::PoolStats& pool, const session::SessionRegistry& registry,
                  v1::SessionStats* out) {
  constexpr size_t kMaxSessions = 1'000;
  const session::SessionRegistry::Stats stats = registry.stats(kMaxSessions);
  const session::Counters& counters = registry.counters();
  out->set_open(static_cast<int64_t>(stats.open));
  out->set_detached(static_cast<int64_t>(stats.detached));
  out->set_live_leases(static_cast<int64_t>(pool.session_leases));
  out->set_opened_count(static_cast<int64_t>(counters.opened.value()));
  out->set_resumed_count(static_cast<int64_t>(counters.resumed.value()));
  out->set_lost_count(static_cast<int64_t>(pool.sessions_lost));
  out->set_cut_count(static_cast<int64_t>(counters.cut.value()));
  out->set_freed_lease_count(static_cast<int64_t>(pool.leases_freed));
  out->set_adopted_lease_count(static_cast<int64_t>(pool.leases_adopted));
  out->set_refused_adoption_count(static_cast<int64_t>(pool.adoptions_refused));
  out->set_revocation_count(static_cast<int64_t>(counters.revocations.value()));
  for (const session::SessionRegistry::Info& info : stats.sessions) {
    v1::SessionInfo* session = out->add_sessions();
    session->set_principal(info.principal);
    session->set_client(info.client);
    session->set_instance(info.instance);
    session->set_open(info.open);
    SetTime(info.opened, session->mutable_open_time());
    SetTime(info.heard, session->mutable_heard_time());
  }
}

void AddTo(const v1::StateCounts& from, v1::StateCounts* sum) {
  sum->set_available(sum->available() + from.available());
  sum->set_waiting(sum->waiting() + from.waiting());
  sum->set_disabled(sum->disabled() + from.disabled());
  sum->set_busy(sum->busy() + from.busy());
  sum->set_half_open(sum->half_open() + from.half_open());
}

}  // namespace

void AdminService::Explain(const CallInfo& info,
                           To<v1::ExplainRequest, v1::ExplainResponse> responder) {
  const v1::ExplainRequest& request = responder.request();
  if (grpc::Status status = Validate(request); !status.ok()) return responder.Finish(status);
  const std::string query = absl::StrCat("explain\n", request.acquire().SerializeAsString());
  std::optional<Place> from;
  if (!request.page_token().empty()) {
    from = PlaceOf(query, request.page_token());
    if (!from.has_value()) {
      return responder.Finish(
          BadField("page_token", "is not of this question", v1::ERROR_REASON_INVALID_PAGE_TOKEN));
    }
  }
  Defer(responder, [this, responder, query, from, principal = std::string(info.principal)] {
    const v1::ExplainRequest& asked = responder.request();
    v1::ExplainResponse& out = responder.reply();
    const AcquireArguments arguments(asked.acquire(), principal, absl::ZeroDuration());
    const auto page = static_cast<size_t>(asked.page_size() == 0 ? 100 : asked.page_size());
    std::map<v1::Verdict, int64_t> verdicts;
    std::map<Place, core::Candidate> found;  // of this page, and one more
    std::string after;
    bool first = true, more = true;
    while (more) {
      core::Explanation step = engine_.Explain(arguments.command(), after, kStep);
      if (std::exchange(first, false)) FillAnswer(step, engine_.Now(), out);
      for (core::Candidate& candidate : step.candidates) {
        const v1::Verdict verdict = ToProto(candidate.candidacy, candidate.cause);
        ++verdicts[verdict];
        after = candidate.id;
        const bool wanted = asked.verdicts().empty() ||
                            std::find(asked.verdicts().begin(), asked.verdicts().end(), verdict) !=
                                asked.verdicts().end();
        Place place(-candidate.priority, candidate.id);
        if (!wanted || (from && place <= *from)) continue;
        found.emplace(std::move(place), std::move(candidate));
        if (found.size() > page + 1) found.erase(std::prev(found.end()));
      }
      more = step.more && !step.candidates.empty();
    }
    const bool full = found.size() > page;
    if (full) found.erase(std::prev(found.end()));
    for (const auto& [place, candidate] : found) {
      v1::Candidate* entry = out.add_candidates();
      FillCandidate(candidate, entry);
      const auto view = engine_.Get(candidate.id);
      if (view.has_value()) CompleteCandidate(*view, entry);
    }
    int64_t total = 0;
    for (const auto& [verdict, count] : verdicts) {
      v1::VerdictCount* entry = out.add_verdict_counts();
      entry->set_verdict(verdict);
      entry->set_count(count);
      total += count;
    }
    out.set_total_size(total);
    if (full) {
      const Place& last = std::prev(found.end())->first;
      out.set_next_page_token(EncodePageToken(query, {absl::StrCat(last.first), last.second}));
    }
    const absl::string_view model = core::CanonicalModel(asked.acquire().model());
    out.set_model(std::string(model));
    responder.Finish();
  });
}

void AdminService::Stats(const CallInfo&, To<v1::GetStatsRequest, v1::GetStatsResponse> responder) {
  if (grpc::Status status = Validate(responder.request()); !status.ok()) {
    return responder.Finish(status);
  }
  Defer(responder, [this, responder] {
    const engine::EngineStats stats = engine_.Stats();
    const absl::Time now = engine_.Now();
    const std::string& group = responder.request().group();
    v1::GetStatsResponse& out = responder.reply();
    for (const core::GroupProviderStats& pool : stats.pool.groups) {
      if (!group.empty() && pool.group != group) continue;
      FillPool(pool, out.add_pools());
      AddTo(out.pools(out.pools_size() - 1).counts(), out.mutable_totals());
    }
    for (const core::ProviderStats& provider : stats.pool.providers) {
      v1::ProbeStats* probe = out.add_probes();
      probe->set_provider(provider.provider);
      probe->set_granted_count(static_cast<int64_t>(provider.probes_granted));
      probe->set_succeeded_count(static_cast<int64_t>(provider.probes_succeeded));
      probe->set_failed_count(static_cast<int64_t>(provider.probes_failed));
      probe->set_inconclusive_count(static_cast<int64_t>(provider.probes_inconclusive));
      probe->set_outstanding(static_cast<int64_t>(provider.probes_out));
      probe->set_rate_per_minute(provider.probes_per_minute);
      if (provider.next_probe > now) SetTime(provider.next_probe, probe->mutable_next_probe_time());
    }
    for (const core::BreakerView& from : stats.pool.breakers) {
      v1::BreakerStats* breaker = out.add_breakers();
      breaker->set_provider(from.provider);
      breaker->set_egress(RedactUrl(from.egress));
      SetTime(from.open_until, breaker->mutable_open_until());
      breaker->set_level(from.level);
    }
    for (const core::BackoffView& from : stats.pool.backoffs) FillBackoff(from, out.add_backoffs());
    out.set_remembered_leases(static_cast<int64_t>(stats.pool.remembered));
    out.set_live_leases(static_cast<int64_t>(stats.pool.leases));
    out.set_expired_leases(static_cast<int64_t>(stats.pool.leases_expired));
    out.set_parked_calls(static_cast<int64_t>(stats.pool.parked));
    out.set_session_bindings(static_cast<int64_t>(stats.pool.bindings));
    out.set_dropped_model_records(static_cast<int64_t>(stats.pool.model_records_dropped));
    v1::StoreStats* store = out.mutable_store();
    store->set_backend(options_.store_backend);
    store->set_healthy(stats.committer.healthy);
    store->set_last_error(stats.committer.last_error);
    store->set_pending_changes(static_cast<int64_t>(stats.committer.pending_health));
    store->set_commit_count(static_cast<int64_t>(stats.committer.commits));
    store->set_failed_commit_count(static_cast<int64_t>(stats.committer.failures));
    store->set_quarantined_records(static_cast<int64_t>(stats.load.quarantined));
    const std::string& damaged = stats.load.damaged_file;
    store->set_damaged_file(damaged.substr(damaged.rfind('/') + 1));
    if (options_.sessions != nullptr) {
      FillSessions(stats.pool, *options_.sessions, out.mutable_sessions());
    }
    SetSpan(absl::Now() - started_, out.mutable_uptime());
    out.set_version(options_.version);
    out.set_epoch(static_cast<int64_t>(stats.epoch));
    if (options_.config_status) {
      const ConfigStatus config = options_.config_status();
      SetTime(config.loaded, out.mutable_config_time());
      out.set_config_error(config.error);
    }
    SetTime(now, out.mutable_time());
    responder.Finish();
  });
}

void AdminService::TestPolicy(const CallInfo&,
                              To<v1::TestPolicyRequest, v1::TestPolicyResponse> responder) {
  const v1::TestPolicyRequest& request = responder.request();
  if (grpc::Status status = Validate(request); !status.ok()) return responder.Finish(status);
  const HeaderList headers = ToHeaders(request.headers());
  core::ReportFacts facts;
  facts.stated = ToOutcome(request.outcome());
  facts.http_status = request.http_status();
  facts.error_code = request.error_code();
  facts.body = request.body_excerpt();
  facts.headers = headers;
  const core::Kind kind = ToKind(request.kind()).value_or(core::Kind::kOAuth);
  const absl::Time now = request.has_time() ? ToTime(request.time()) : engine_.Now();
  const core::Verdict verdict = engine_.policy()->Classify(
      request.provider(), kind, kind == core::Kind::kOAuth, !request.model().empty(), facts, now);
  v1::TestPolicyResponse& out = responder.reply();
  out.set_matched_row(verdict.row);
  out.set_outcome(ToProto(verdict.outcome));
  out.set_scope(ToProto(verdict.scope));
  out.set_action(ToProto(verdict.action));
  out.set_cause(ToProto(verdict.cause));
  out.set_advice(ToProto(verdict.advice));
  out.set_hint(verdict.raw_hint);
  const int level = request.level() + 1;
  absl::Duration duration = absl::ZeroDuration();
  if (verdict.hint.has_value()) {
    duration = *verdict.hint;
  } else if (!verdict.ladder.empty()) {
    duration = verdict.ladder.At(level);
    out.set_level(level);
  }
  if (duration > absl::ZeroDuration()) {
    SetSpan(duration, out.mutable_duration());
    SetSpan(std::min(duration, verdict.cap), out.mutable_block_duration());
  }
  responder.Finish();
}

}  // namespace credbroker::rpc
