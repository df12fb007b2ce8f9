#include "server/config/ranges.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "server/config/config.h"
#include "server/config/scalar.h"

namespace credbroker::config {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr absl::Duration Days(int n) { return absl::Hours(24 * n); }

constexpr NumberRange kNumbers[] = {
    {"HttpListener.threads", 1, 16, 2},
    {"Group.max_in_flight", 0, 1'000'000, 0},
    {"Group.max_in_flight_per_model", 0, 1'000'000, 0},
    {"Limits.max_parked", 1, 1'000'000, 10'000},
    {"Limits.max_parked_per_principal", 1, 1'000'000, 1'000},
    {"Limits.max_calls_per_peer", 1, 100'000, 1'024},
    {"Limits.max_calls", 1, 1'000'000, 16'384},
    {"Limits.max_connections", 1, 65'536, 1'024},
    {"Limits.max_receive_bytes", 64 << 10, 64 << 20, 4 << 20},
    {"Limits.max_metadata_bytes", 1 << 10, 64 << 10, 8 << 10},
    {"Limits.max_session_bindings", 1'000, 10'000'000, 1'000'000},
    {"Limits.max_ended_leases", 1'024, 4'194'304, 262'144},
    {"Limits.max_leases_per_principal", 1, 10'000'000, 1'000'000},
    {"Limits.max_watchers", 1, 1'024, 64},
    {"Limits.max_selections", 1, 1'024, 64},
    {"Runtime.server_threads", 0, 64, 0},
    {"Sessions.max_sessions", 1, 65'536, 4'096},
    {"Sessions.max_sessions_per_principal", 1, 65'536, 1'024},
    {"Sessions.max_leases", 1, 1'000'000, 100'000},
    {"Watchdog.failures", 1, 100, 3},
    {"Provider.max_in_flight", 0, 1'000'000, 0},
    {"Provider.max_in_flight_per_model", 0, 1'000'000, 0},
    {"PolicyRow.disable_after", 0, 1'000, 0},
};

constexpr DurationRange kDurations[] = {
    {"Store.write_behind", absl::Milliseconds(10), absl::Seconds(10), absl::Milliseconds(100)},
    {"SqliteStore.commit_timeout", absl::Seconds(1), absl::Seconds(60), absl::Seconds(5)},
    {"Group.session_idle_ttl", absl::Seconds(1), Days(30), absl::Hours(1)},
    {"Limits.ended_retention", absl::Minutes(1), absl::Hours(1), absl::Minutes(10)},
    {"Limits.default_ttl", absl::Seconds(1), absl::Hours(1), absl::Seconds(120)},
    {"Limits.max_ttl", absl::Seconds(1), absl::Hours(1), absl::Hours(1)},
    {"Limits.max_wait", absl::ZeroDuration(), absl::Seconds(60), absl::Seconds(60)},
    {"Limits.default_deadline", absl::Seconds(1), absl::Seconds(120), absl::Seconds(10)},
    {"Source.debounce", absl::Milliseconds(50), absl::Seconds(60), absl::Milliseconds(500)},
    {"Source.rescan_interval", absl::Seconds(10), Days(1), absl::Minutes(10)},
    {"Runtime.drain_timeout", absl::ZeroDuration(), absl::Seconds(60), absl::Seconds(5)},
    {"Runtime.drain_delay", absl::ZeroDuration(), absl::Seconds(60), absl::ZeroDuration()},
    {"Watchdog.interval", absl::Seconds(1), absl::Seconds(60), absl::Seconds(5)},
    {"Watchdog.timeout", absl::Milliseconds(100), absl::Seconds(30), absl::Seconds(2)},
    {"Sessions.ttl", absl::Seconds(2), absl::Seconds(60), absl::Seconds(15)},
    {"Sessions.grace", absl::Seconds(1), absl::Seconds(60), absl::Seconds(15)},
    {"Sessions.ping_interval", absl::Milliseconds(200), absl::Seconds(20), absl::Seconds(5)},
    {"Sessions.cancel_within", absl::ZeroDuration(), absl::Seconds(60), absl::Seconds(5)},
    {"Provider.cap", absl::Seconds(1), Days(7), std::nullopt},
    {"Ladder.first", absl::Milliseconds(100), Days(7), std::nullopt},
    {"Ladder.max", absl::Milliseconds(100), Days(30), std::nullopt},
    {"PolicyRow.duration", absl::ZeroDuration(), Days(400), std::nullopt},
    {"PolicyRow.hint_floor", absl::ZeroDuration(), Days(400), std::nullopt},
    {"PolicyRow.cap", absl::Seconds(1), Days(7), std::nullopt},
};

template <typename Range>
const Range* Find(absl::Span<const Range> ranges, const FieldDescriptor& field) {
  const std::string name = absl::StrCat(field.containing_type()->name(), ".", field.name());
  for (const Range& range : ranges) {
    if (range.field == name) return &range;
  }
  return nullptr;
}

void ApplyNumber(const NumberRange& range, const FieldDescriptor& field, const std::string& path,
                 Problems& problems, Message& message) {
  const auto& reflection = *message.GetReflection();
  const uint32_t value = reflection.GetUInt32(message, &field);
  if (field.has_presence()) {
    if (!reflection.HasField(message, &field)) return;
  } else if (value == 0) {
    reflection.SetUInt32(&message, &field, range.fallback);
    return;
  }
  if (value < range.min || value > range.max) {
    problems.Add(path, absl::StrCat(value, " is out of range; ", range.min, " to ", range.max));
  }
}

void ApplyDuration(const DurationRange& range, const FieldDescriptor& field,
                   const std::string& path, Problems& problems, Message& message) {
  const auto& reflection = *message.GetReflection();
  if (reflection.HasField(message, &field)) {
    const absl::Duration value = ToDuration(
        static_cast<const google::protobuf::Duration&>(reflection.GetMessage(message, &field)));
    // In Limits "0s" asks for the default, where waiting for no time is no choice of its own.
    const bool asks_default = value == absl::ZeroDuration() && range.min > value &&
                              field.containing_type()->name() == "Limits";
    if (!asks_default) {
      if (value < range.min || value > range.max) {
        problems.Add(path, absl::StrCat(DurationText(value), " is out of range; ",
                                        DurationText(range.min), " to ", DurationText(range.max)));
      }
      return;
    }
  }
  if (!range.fallback.has_value()) return;
  absl::Duration rest;
  auto& out =
      static_cast<google::protobuf::Duration&>(*reflection.MutableMessage(&message, &field));
  out.set_seconds(absl::IDivDuration(*range.fallback, absl::Seconds(1), &rest));
  out.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
}

}  // namespace

absl::Span<const NumberRange> NumberRanges() { return kNumbers; }
absl::Span<const DurationRange> DurationRanges() { return kDurations; }

void ApplyRanges(const std::string& path, Problems& problems, Message& message) {
  const auto& type = *message.GetDescriptor();
  const auto& reflection = *message.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const std::string field_path = Join(path, field.name());
    if (const NumberRange* range = Find(NumberRanges(), field); range != nullptr) {
      ApplyNumber(*range, field, field_path, problems, message);
    } else if (const DurationRange* duration = Find(DurationRanges(), field); duration != nullptr) {
      ApplyDuration(*duration, field, field_path, problems, message);
    } else if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field.is_map()) {
      continue;
    } else if (field.is_repeated()) {
      for (int n = 0; n < reflection.FieldSize(message, &field); ++n) {
        ApplyRanges(Item(field_path, n), problems,
                    *reflection.MutableRepeatedMessage(&message, &field, n));
      }
    } else if (reflection.HasField(message, &field)) {
      ApplyRanges(field_path, problems, *reflection.MutableMessage(&message, &field));
    }
  }
}

}  // namespace credbroker::config
