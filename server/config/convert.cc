#include "server/config/convert.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/availability.h"
#include "core/check.h"
#include "core/provider_builtin.h"
#include "server/config/config.h"
#include "server/config/scalar.h"

namespace credbroker::config {
namespace {

// The core's value of the same name: both sides spell their values as the API does. `last` is the
// greatest value.
template <typename Core>
Core ByName(const google::protobuf::EnumDescriptor* type, int number, Core last) {
  const google::protobuf::EnumValueDescriptor* value = type->FindValueByNumber(number);
  CB_CHECK(value != nullptr);
  const std::string name = absl::StrReplaceAll(EnumText(*value), {{"-", "_"}});
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    if (core::Name(static_cast<Core>(i)) == name) return static_cast<Core>(i);
  }
  CB_CHECK(false && "a value of the API that the core does not know");
  return last;
}

core::Kind ToKind(credbroker::v1::CredentialKind kind) {
  return ByName(credbroker::v1::CredentialKind_descriptor(), kind, core::Kind::kServiceAccount);
}

core::Outcome ToOutcome(credbroker::v1::Outcome outcome) {
  if (outcome == credbroker::v1::OUTCOME_UNSPECIFIED) return core::Outcome::kOther;
  return ByName(credbroker::v1::Outcome_descriptor(), outcome, core::Outcome::kOther);
}

std::vector<core::HeaderTemplate> ToHeaders(
    const google::protobuf::RepeatedPtrField<v1::HeaderTemplate>& headers) {
  std::vector<core::HeaderTemplate> out;
  for (const v1::HeaderTemplate& header : headers) out.push_back({header.name(), header.value()});
  return out;
}

void Overlay(const v1::Provider& from, core::ProviderSettings& to) {
  if (!from.headers().empty()) to.headers = ToHeaders(from.headers());
  for (const v1::KindDefaults& kind : from.kinds()) {
    if (kind.kind() == 0) continue;  // refused by the checks
    const core::Kind of = ToKind(kind.kind());
    if (!kind.base_url().empty()) {
      std::erase_if(to.base_url_by_kind, [of](const auto& entry) { return entry.first == of; });
      to.base_url_by_kind.emplace_back(of, kind.base_url());
    }
    if (kind.headers().empty()) continue;
    std::erase_if(to.headers_by_kind, [of](const auto& entry) { return entry.first == of; });
    to.headers_by_kind.emplace_back(of, ToHeaders(kind.headers()));
  }
  if (!from.base_url().empty()) {
    to.base_url = from.base_url();
    // What is built in for a kind gives way to what the file says of the provider as a whole.
    std::erase_if(to.base_url_by_kind, [&from](const auto& entry) {
      return std::none_of(from.kinds().begin(), from.kinds().end(), [&](const auto& kind) {
        return !kind.base_url().empty() && kind.kind() != 0 && ToKind(kind.kind()) == entry.first;
      });
    });
  }
  if (from.has_cap()) to.cap = ToDuration(from.cap());
  if (from.has_has_refresher()) to.has_refresher = from.has_refresher();
  if (from.has_max_in_flight()) to.max_in_flight = static_cast<int32_t>(from.max_in_flight());
  if (from.has_max_in_flight_per_model()) {
    to.max_in_flight_per_model = static_cast<int32_t>(from.max_in_flight_per_model());
  }
}

core::GroupSettings ToGroup(const v1::Group& from) {
  core::GroupSettings to;
  to.name = from.name();
  to.strategy = ByName(v1::Strategy_descriptor(), from.strategy(), core::Strategy::kEarliestReset);
  to.failback = from.failback();
  to.session_spill = from.session_spill();
  to.session_idle_ttl = ToDuration(from.session_idle_ttl());
  if (from.has_max_in_flight()) to.max_in_flight = static_cast<int32_t>(from.max_in_flight());
  if (from.has_max_in_flight_per_model()) {
    to.max_in_flight_per_model = static_cast<int32_t>(from.max_in_flight_per_model());
  }
  return to;
}

core::Limits ToLimits(const v1::Limits& from) {
  core::Limits to;
  to.max_parked = static_cast<int>(from.max_parked());
  to.max_parked_per_principal = static_cast<int>(from.max_parked_per_principal());
  to.max_bindings = from.max_session_bindings();
  to.max_leases_per_principal = from.max_leases_per_principal();
  to.max_ended_leases = static_cast<int>(from.max_ended_leases());
  to.ended_retention = ToDuration(from.ended_retention());
  to.default_ttl = ToDuration(from.default_ttl());
  to.max_ttl = ToDuration(from.max_ttl());
  to.max_wait = ToDuration(from.max_wait());
  return to;
}

void SetMatch(const v1::PolicyMatch& from, core::PolicyRow& to) {
  for (const std::string& status : from.statuses()) {
    int code = 0;
    if (absl::EndsWithIgnoreCase(status, "xx")) {
      code = status[0] - '0';
    } else if (!absl::SimpleAtoi(status, &code)) {
      code = -1;  // refused before, by the check
    }
    to.statuses.push_back(code);
  }
  to.error_codes.assign(from.error_codes().begin(), from.error_codes().end());
  to.body_contains = from.body();
  to.header_name = from.header();
  to.header_contains = from.header_value();
  if (from.outcome() != credbroker::v1::OUTCOME_UNSPECIFIED) to.stated = ToOutcome(from.outcome());
  if (from.kind() != credbroker::v1::CREDENTIAL_KIND_UNSPECIFIED) to.kind = ToKind(from.kind());
  if (from.has_refreshable()) to.refreshable = from.refreshable();
}

core::PolicyRow ToRow(const v1::PolicyRow& from) {
  core::PolicyRow to;
  to.name = from.name();
  SetMatch(from.match(), to);
  to.outcome = ToOutcome(from.outcome());
  to.scope =
      ByName(credbroker::v1::FailureScope_descriptor(), from.scope(), core::Scope::kProviderModel);
  to.action =
      ByName(credbroker::v1::FailureAction_descriptor(), from.action(), core::Action::kRefresh);
  if (from.cause() != credbroker::v1::CAUSE_UNSPECIFIED) {
    to.cause = ByName(credbroker::v1::Cause_descriptor(), from.cause(), core::Cause::kWeight);
  }
  if (from.has_duration()) to.duration = ToDuration(from.duration());
  to.use_hints = !from.ignore_hints();
  to.hint_floor = ToDuration(from.hint_floor());
  if (from.has_ladder()) {
    to.ladder = {ToDuration(from.ladder().first()), from.ladder().factor(),
                 ToDuration(from.ladder().max())};
  }
  if (from.has_cap()) to.cap = ToDuration(from.cap());
  to.disable_after = static_cast<int>(from.disable_after());
  if (from.advice() != credbroker::v1::ADVICE_UNSPECIFIED) {
    to.advice = ByName(credbroker::v1::Advice_descriptor(), from.advice(), core::Advice::kGiveUp);
  }
  return to;
}

// The core names the field in quotes ("... field 'ladder.max': must be ..."), in its own words.
void AddCoreProblem(const absl::Status& status, const std::string& path, Problems& problems) {
  absl::string_view message = status.message();
  constexpr absl::string_view kMark = "field '";
  const size_t mark = message.find(kMark);
  const size_t end =
      mark == absl::string_view::npos ? mark : message.find("': ", mark + kMark.size());
  if (end == absl::string_view::npos) {
    problems.Add(path, message);
    return;
  }
  std::string field(message.substr(mark + kMark.size(), end - mark - kMark.size()));
  for (const absl::string_view part :
       {"statuses", "error_codes", "body", "header", "header_value"}) {
    if (field == part) field = absl::StrCat("match.", part);
  }
  problems.Add(Join(path, field), absl::StrCat(message.substr(end + 3), "; correct the row"));
}

// Each row by itself, so that every wrong one is told and its place is known.
std::vector<core::PolicyRow> ToRows(const google::protobuf::RepeatedPtrField<v1::PolicyRow>& from,
                                    const std::string& path, Problems& problems) {
  std::vector<core::PolicyRow> rows;
  for (int i = 0; i < from.size(); ++i) {
    // A row that the checks refused has nothing to be converted.
    if (problems.Has(Item(path, i))) continue;
    if (from[i].scope() == 0 || from[i].action() == 0) continue;
    core::PolicyRow row = ToRow(from[i]);
    core::ProviderPolicy alone;
    alone.provider = "*";
    alone.rows = {row};
    const auto table = core::PolicyTable::Create({std::move(alone)});
    if (!table.ok()) AddCoreProblem(table.status(), Item(path, i), problems);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

core::Settings ToSettings(const v1::Config& config) {
  core::Settings settings;
  for (const v1::Group& group : config.groups()) settings.groups.push_back(ToGroup(group));
  const auto builtin = core::BuiltinProviders();
  settings.providers.assign(builtin.begin(), builtin.end());
  for (const v1::Provider& provider : config.providers()) {
    auto at = std::find_if(settings.providers.begin(), settings.providers.end(),
                           [&](const auto& p) { return p.name == provider.name(); });
    if (at == settings.providers.end()) {
      settings.providers.push_back(core::BuiltinProvider(provider.name()));
      at = settings.providers.end() - 1;
      at->name = provider.name();
    }
    Overlay(provider, *at);
  }
  for (const v1::LabelKey& label : config.labels()) {
    settings.labels.emplace_back(
        label.key(), std::vector<std::string>(label.values().begin(), label.values().end()));
  }
  settings.limits = ToLimits(config.limits());
  return settings;
}

std::shared_ptr<const core::PolicyTable> ToPolicy(const v1::Config& config,
                                                  const core::Settings& settings,
                                                  Problems& problems) {
  std::vector<core::ProviderPolicy> all;
  for (int i = 0; i < config.providers_size(); ++i) {
    const v1::Provider& provider = config.providers(i);
    core::ProviderPolicy policy;
    policy.provider = provider.name();
    if (provider.has_per_model_limits()) policy.per_model_limits = provider.per_model_limits();
    for (const core::ProviderSettings& p : settings.providers) {
      if (p.name == provider.name()) policy.cap = p.cap;
    }
    policy.rows = ToRows(provider.policy(), Join(Item("providers", i), "policy"), problems);
    all.push_back(std::move(policy));
  }
  core::ProviderPolicy every;
  every.provider = "*";
  every.rows = ToRows(config.policy(), "policy", problems);
  all.push_back(std::move(every));
  if (!problems.empty()) return nullptr;
  auto table = core::PolicyTable::Create(std::move(all));
  if (table.ok()) return *std::move(table);
  problems.Add("policy", table.status().message());
  return nullptr;
}

}  // namespace credbroker::config
