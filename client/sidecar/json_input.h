// JSON from outside: bounded depth, no duplicate surprises, never an exception.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_SIDECAR_JSON_INPUT_H_
#define CREDBROKER_CLIENT_SIDECAR_JSON_INPUT_H_

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "absl/strings/string_view.h"
#include "credbroker/v1/lease.pb.h"

namespace credbroker::sidecar {

namespace api = ::credbroker::v1;

// nullopt: not JSON, or nested deeper than 8 levels.
std::optional<nlohmann::json> ParseJson(absl::string_view text);

// A member that is text; "" if it is missing. nullopt: it is something else.
std::optional<std::string> TextOf(const nlohmann::json& object, const char* name);

// 429, "429"; 0: missing, "" or "-". nullopt: something else.
std::optional<int> StatusOf(const nlohmann::json& object, const char* name);

// {"retry-after": "30", "x": ["a", "b"], "n": 5} as headers with lower-case names; what cannot be a
// header, carries a credential (client::IsPrivateHeader), or is beyond 128 headers or 16 KiB is
// left out. False: `object` is no object.
bool AddHeaders(const nlohmann::json& object, api::ReportItem* item);
void AddHeader(absl::string_view name, absl::string_view value, api::ReportItem* item);

// "connect" as NETWORK_ERROR_KIND_CONNECT; nullopt: no such word.
std::optional<api::NetworkErrorKind> NetworkErrorOf(absl::string_view word);
// "network_error" or "network-error" as OUTCOME_NETWORK_ERROR; nullopt: no such word.
std::optional<api::Outcome> OutcomeOf(absl::string_view word);

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_JSON_INPUT_H_
