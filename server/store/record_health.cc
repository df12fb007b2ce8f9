// Health, backoff and history records.
#include <utility>

#include "server/store/record_messages.h"
#include "server/store/record_time.h"

namespace credbroker::store {
namespace {

void PutAvailability(const core::AvailabilityRecord& in, absl::string_view model,
                     v1::StoredAvailability* out) {
  out->set_model(std::string(model));
  out->set_cause(PutCause(in.cause));
  out->set_level(in.level);
  if (!Infinite(in.block_until)) PutTime(in.block_until, out->mutable_block_until());
  if (!Infinite(in.avoid_until)) PutTime(in.avoid_until, out->mutable_avoid_until());
  if (!Infinite(in.began)) PutTime(in.began, out->mutable_began());
  out->set_raw_hint(in.raw_hint);
}

bool GetAvailability(const v1::StoredAvailability& in, core::AvailabilityRecord& out) {
  if (!GetCause(in.cause(), out.cause) || out.cause == core::Cause::kNone) return false;
  if (in.level() > UINT16_MAX) return false;
  out.level = static_cast<uint16_t>(in.level());
  if (in.has_block_until()) out.block_until = GetTime(in.block_until());
  if (in.has_avoid_until()) out.avoid_until = GetTime(in.avoid_until());
  if (in.has_began()) out.began = GetTime(in.began());
  out.raw_hint = in.raw_hint();
  return true;
}

}  // namespace

void PutHealth(const core::HealthRecord& in, v1::HealthRecord* out) {
  out->set_uid(in.uid.number());
  out->set_auth_health(PutEnum<api::AuthHealth>(in.auth));
  out->set_policy_cause(PutCause(in.policy_cause));
  PutTime(in.policy_since, out->mutable_policy_since());
  for (const core::ScopedRecord& scoped : in.records) {
    PutAvailability(scoped.record, scoped.model, out->add_availability());
  }
  for (const core::RateWindow& window : in.windows) {
    v1::StoredRateWindow* stored = out->add_windows();
    stored->set_name(window.name);
    if (window.limit) stored->set_limit(*window.limit);
    if (window.remaining) stored->set_remaining(*window.remaining);
    if (!Infinite(window.reset)) PutTime(window.reset, stored->mutable_reset_time());
  }
}

absl::StatusOr<std::shared_ptr<const core::HealthRecord>> GetHealth(const v1::HealthRecord& in) {
  auto out = std::make_shared<core::HealthRecord>();
  out->uid = core::Uid(in.uid());
  if (in.uid() == 0) return BadRecord("health without uid");
  if (!GetEnum(in.auth_health(), 5, out->auth)) return BadRecord("unknown auth health");
  if (!GetCause(in.policy_cause(), out->policy_cause)) return BadRecord("unknown policy cause");
  out->policy_since = GetTime(in.policy_since());
  for (const v1::StoredAvailability& stored : in.availability()) {
    core::ScopedRecord scoped;
    scoped.model = stored.model();
    if (!GetAvailability(stored, scoped.record)) return BadRecord("bad availability");
    out->records.push_back(std::move(scoped));
  }
  for (const v1::StoredRateWindow& stored : in.windows()) {
    core::RateWindow window;
    window.name = stored.name();
    if (stored.has_limit()) window.limit = stored.limit();
    if (stored.has_remaining()) window.remaining = stored.remaining();
    if (stored.has_reset_time()) window.reset = GetTime(stored.reset_time());
    out->windows.push_back(std::move(window));
  }
  return std::shared_ptr<const core::HealthRecord>(std::move(out));
}

std::string EncodeHealth(const core::HealthRecord& health) {
  v1::HealthRecord record;
  PutHealth(health, &record);
  return record.SerializeAsString();
}

absl::StatusOr<std::shared_ptr<const core::HealthRecord>> DecodeHealth(absl::string_view bytes) {
  v1::HealthRecord record;
  if (absl::Status parsed = ParseRecord(bytes, &record); !parsed.ok()) return parsed;
  return GetHealth(record);
}

std::string EncodeBackoff(const core::BackoffRecord& backoff) {
  v1::BackoffRecord record;
  record.set_scope(!backoff.egress.empty() ? api::FAILURE_SCOPE_EGRESS
                   : backoff.model.empty() ? api::FAILURE_SCOPE_PROVIDER
                                           : api::FAILURE_SCOPE_PROVIDER_MODEL);
  record.set_provider(backoff.provider);
  record.set_egress(backoff.egress);
  PutAvailability(backoff.record, backoff.model, record.mutable_record());
  return record.SerializeAsString();
}

absl::StatusOr<core::BackoffRecord> DecodeBackoff(absl::string_view bytes) {
  v1::BackoffRecord record;
  if (absl::Status parsed = ParseRecord(bytes, &record); !parsed.ok()) return parsed;
  core::BackoffRecord out;
  out.provider = record.provider();
  out.egress = record.egress();
  if (out.provider.empty() == out.egress.empty()) return BadRecord("backoff of nothing");
  out.model = record.record().model();
  if (!GetAvailability(record.record(), out.record)) return BadRecord("bad backoff");
  return out;
}

std::string EncodeHistory(const core::TransitionView& line, core::Uid uid) {
  v1::HistoryRecord record;
  record.set_uid(uid.number());
  record.set_number(line.line.number);
  PutTime(absl::FromUnixMillis(line.line.at_ms), record.mutable_time());
  record.set_from(PutEnum<api::CredentialState>(line.line.from));
  record.set_to(PutEnum<api::CredentialState>(line.line.to));
  record.set_why(PutEnum<api::TransitionReason>(line.line.why));
  record.set_cause(PutCause(line.line.cause));
  record.set_model(line.model);
  record.set_actor(line.actor);
  if (line.line.until_ms != 0) {
    PutTime(absl::FromUnixMillis(line.line.until_ms), record.mutable_until());
  }
  return record.SerializeAsString();
}

absl::StatusOr<HistoryEntry> DecodeHistory(absl::string_view bytes) {
  v1::HistoryRecord record;
  if (absl::Status parsed = ParseRecord(bytes, &record); !parsed.ok()) return parsed;
  HistoryEntry out{.uid = core::Uid(record.uid()), .line = {}};
  core::Transition& line = out.line.line;
  line.number = record.number();
  line.at_ms = absl::ToUnixMillis(GetTime(record.time()));
  if (!GetEnum(record.from(), core::kStateCount, line.from) ||
      !GetEnum(record.to(), core::kStateCount, line.to) ||
      !GetEnum(record.why(), core::kWhyCount, line.why) || !GetCause(record.cause(), line.cause)) {
    return BadRecord("unknown state, reason or cause");
  }
  if (record.has_until()) line.until_ms = absl::ToUnixMillis(GetTime(record.until()));
  out.line.model = record.model();
  out.line.actor = record.actor();
  return out;
}

}  // namespace credbroker::store
