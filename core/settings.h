// Configuration of the pool: groups, providers and limits. Values, validated by whoever loads them.
// Replaced whole by Pool::Configure. Thread-compatible.
#ifndef CREDBROKER_CORE_SETTINGS_H_
#define CREDBROKER_CORE_SETTINGS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/credential.h"

namespace credbroker::core {

enum class Strategy : uint8_t {
  kRoundRobin,
  kFillFirst,
  kWeighted,
  kLeastInFlight,
  kEarliestReset
};
absl::string_view Name(Strategy v);

struct GroupSettings {
  std::string name;
  Strategy strategy = Strategy::kRoundRobin;
  bool failback = false;  // a recovering higher tier takes a warm session back
  // A call whose session is bound to a busy credential goes to another, the binding stays; false:
  // it waits for that one.
  bool session_spill = true;
  absl::Duration session_idle_ttl = absl::Hours(1);
  std::optional<int32_t> max_in_flight;            // default for its credentials; 0 = unlimited
  std::optional<int32_t> max_in_flight_per_model;  // same
};

// A request header the proxy sends upstream. `value` may hold placeholders, e.g. {access_token};
// see RenderMaterial().
struct HeaderTemplate {
  std::string name;
  std::string value;
};

struct ProviderSettings {
  std::string name;
  // By kind; an empty list for a kind falls back to `headers` of any kind.
  std::vector<HeaderTemplate> headers;
  std::vector<std::pair<Kind, std::vector<HeaderTemplate>>> headers_by_kind;
  // Used where the credential has none: that of its kind, else that of any.
  std::string base_url;
  std::vector<std::pair<Kind, std::string>> base_url_by_kind;
  absl::Duration cap = absl::Minutes(15);
  bool has_refresher = false;  // this broker can refresh its OAuth logins
  std::optional<int32_t> max_in_flight;
  std::optional<int32_t> max_in_flight_per_model;
};

struct Limits {
  int max_parked = 10'000;
  int max_parked_per_principal = 1'000;
  int64_t max_bindings = 1'000'000;
  int max_ended_leases = 262'144;
  size_t max_leases_per_principal = 1'000'000;  // live ones
  absl::Duration ended_retention = absl::Minutes(10);
  absl::Duration default_ttl = absl::Seconds(120);
  absl::Duration max_ttl = absl::Hours(1);
  absl::Duration max_wait = absl::Seconds(60);
};

struct Settings {
  std::vector<GroupSettings> groups;  // "default" exists even when absent
  std::vector<ProviderSettings> providers;
  // Declared label keys and their allowed values (empty: any value a credential has). At most 8
  // keys.
  std::vector<std::pair<std::string, std::vector<std::string>>> labels;
  Limits limits;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_SETTINGS_H_
