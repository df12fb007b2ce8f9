// The data plane: what every request goes through. The lock is held for the pool's decision only;
// lease ids are made and checked, and reports classified, outside of it.
#include <algorithm>
#include <utility>

#include "server/engine/engine_state.h"

namespace credbroker::engine {
namespace {

core::AcquireReply NotServing() {
  core::AcquireReply reply;
  reply.kind = core::AcquireReply::Kind::kRefused;
  reply.refusal.reason = core::Refusal::kCancelled;
  return reply;
}

}  // namespace

std::string EngineState::LeaseIdOf(const core::Grant& grant, absl::string_view principal) const {
  return codec_->Encode(LeaseFields{.seq = grant.seq,
                                    .cell = grant.cell,
                                    .epoch = context_.epoch,
                                    .uid = grant.material->uid,
                                    .material_version = grant.material->version,
                                    .kind = grant.document->kind,
                                    .refreshable = grant.material->refreshable,
                                    .granted = grant.granted,
                                    .expires = grant.expires,
                                    .principal = principal,
                                    .provider = grant.document->provider,
                                    .model = grant.model});
}

AcquireAnswer EngineState::Acquire(const core::AcquireCommand& command, AcquireDone done) {
  AcquireAnswer answer;
  if (!serving()) return {.reply = NotServing(), .lease_id = ""};
  Locked([&](core::Pool& pool, absl::Time now, core::Effects& effects) {
    mutex_.AssertHeld();
    answer.reply = pool.Acquire(command, now, effects);
    // Under the same lock, so that nobody can wake a waiter that is not yet known.
    if (answer.reply.kind == core::AcquireReply::Kind::kParked) {
      waiters_[answer.reply.waiter] =
          Waiter{.done = std::move(done), .principal = std::string(command.principal)};
    }
  });
  if (answer.reply.kind == core::AcquireReply::Kind::kGranted) {
    answer.lease_id = LeaseIdOf(answer.reply.grant, command.principal);
  }
  return answer;
}

std::optional<core::LeaseClaims> EngineState::Decode(absl::string_view lease_id) {
  if (!serving()) return std::nullopt;
  std::optional<core::LeaseClaims> claims = codec_->Decode(lease_id);
  if (!claims) refused_ids_.fetch_add(1, std::memory_order_relaxed);
  return claims;
}

core::ReportReply EngineState::ReportOne(absl::string_view principal, const ReportItem& item) {
  const std::optional<core::LeaseClaims> claims = Decode(item.lease_id);
  if (!claims) return core::ReportReply{};  // kUnknown
  // A reset that upstream named as a time is so far from when it was said, not from now.
  const absl::Time happened = std::min(clock_.Now(), std::max(item.happened, claims->granted));
  const core::Verdict verdict =
      policy()->Classify(claims->provider, claims->kind, claims->refreshable,
                         !claims->model.empty(), item.facts, happened);
  const core::ReportCommand command{.principal = principal,
                                    .claims = &*claims,
                                    .verdict = &verdict,
                                    .early = item.early,
                                    .material_version = item.material_version,
                                    .happened = happened};
  core::ReportReply reply;
  Locked([&](core::Pool& pool, absl::Time now, core::Effects& effects) {
    reply = pool.Report(command, now, effects);
  });
  return reply;
}

}  // namespace credbroker::engine
