// What is known about a credential, as values: the document operators edit, the operator's intent,
// the secret, the auth health and the history. The derived state lives in pool.h. All types are
// thread-compatible values.
#ifndef CREDBROKER_CORE_CREDENTIAL_H_
#define CREDBROKER_CORE_CREDENTIAL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/ids.h"
#include "core/secret.h"
#include "core/text.h"

namespace credbroker::core {

// proxy_url of a credential whose calls go out without a proxy.
inline constexpr absl::string_view kDirect = "direct";

enum class Kind : uint8_t { kOAuth, kApiKey, kServiceAccount };

struct ModelAlias {
  std::string alias;
  std::string model;
  friend bool operator==(const ModelAlias&, const ModelAlias&) = default;
};

// The editable description of a credential. Immutable once installed: an edit replaces it whole.
struct Document {
  Text id;                 // unique in the whole broker, 1..256 bytes of printable UTF-8
  Text group = "default";  // authorization boundary
  Text provider;           // lower case
  Kind kind = Kind::kApiKey;
  bool disable_cooling = false;   // suppresses 429 and transient causes only
  bool external_refresh = false;  // tokens come from a watched file: never refreshed here
  Text source;                    // name of the import source; empty: made through the API
  Text source_path;               // path below the source's root, empty if none
  Text email, label, note;        // for people
  int64_t priority = 0;           // higher tier first
  int64_t weight = 1;             // <= 0: picked by pin only; at most 1,000,000
  Text prefix;                    // also serves `prefix/model`
  Text proxy_url;                 // http, https, socks5 URL, kDirect, or empty: the proxy decides
  Text base_url;
  std::vector<std::pair<std::string, std::string>> headers;  // sent upstream
  std::vector<std::string> models;           // non-empty: serves only these (`*` allowed)
  std::vector<std::string> excluded_models;  // `*` wildcards
  std::vector<ModelAlias> model_aliases;
  std::optional<int32_t> max_in_flight;            // 0 = unlimited; unset: group's, then provider's
  std::optional<int32_t> max_in_flight_per_model;  // same
  std::optional<int32_t> request_retry;
  std::optional<int32_t> refresh_interval_seconds;
  Text attributes_json;  // JSON object for the proxy; opaque here; empty: none
  Text extra_json;       // unknown keys of the imported file; opaque; come back on export
  std::vector<std::pair<std::string, std::string>> labels;  // sorted by key
  absl::Time create_time = absl::UnixEpoch();
  uint64_t revision = 1;  // counts edits of document and intent; the etag is made of uid and it
};

// Operator's intent. No refresh, report, import or reload changes it.
struct Intent {
  bool enabled = true;
  std::string actor;   // who set it; `schedule` when `until` enabled it again
  std::string reason;  // free text, at most 1,024 bytes
  absl::Time since = absl::UnixEpoch();
  std::optional<absl::Time> until;  // disabled only: enabled again at this time
  friend bool operator==(const Intent&, const Intent&) = default;
};

// Everything secret. Only the fields a provider has are non-empty.
struct SecretMaterial {
  Secret access_token, refresh_token, id_token, api_key, client_secret, service_account, cookie;
  std::map<std::string, Secret> extra;
  std::optional<absl::Time> expire_time;  // of the access token
  uint64_t version = 0;                   // material_version: rises with each change, from 1
};

enum class AuthHealth : uint8_t {
  kOk,
  kRefreshing,
  kRefreshUnknown,
  kReauthRequired,
  kDisabledByPolicy
};

// Why a credential, a (credential, model) or a pool-level key is not selectable.
enum class Cause : uint8_t {
  kNone,
  kRateLimit,         // 429
  kQuota,             // 402, quota exhausted
  kTokenRejected,     // 401 without a refresher
  kForbidden,         // 403
  kChallenge,         // challenge page behind a 403
  kModelNotFound,     // 404, model not supported
  kTransient,         // 408, 5xx
  kRefresh,           // 401 or expiry, a refresh is due or under way; never half-open
  kExpired,           // material expired and nobody refreshes it; never half-open
  kUnconfirmed,       // a report that would disable, beyond its principal's allowance
  kOverloaded,        // 529; provider or (provider, model) only
  kNetwork,           // connect failure, reset, timeout; breakers only
  kPolicy,            // a configured policy row
  kOperator,          // disabled by an operator (counts only)
  kReauth,            // must log in again (counts only)
  kDisabledByPolicy,  // (counts only)
  kBusy,              // in-flight cap reached (counts only)
  kBreaker,           // breaker open for its provider or egress (counts only)
  kHalfOpen,          // waiting for a probe token or verdict (counts only)
  kWeight,            // weight <= 0 (counts only)
};
inline constexpr int kCauseCount = 21;

enum class State : uint8_t { kAvailable, kWaiting, kDisabled };
inline constexpr int kStateCount = 3;

// Past tense: what happened. Written to history, audit, metrics and watch.
enum class Why : uint8_t {
  kCreated,
  kUpdated,
  kDeleted,
  kRevived,
  kSecretReplaced,
  kEnabled,
  kDisabled,
  kScheduleEnabled,
  kReset,
  kReportedFailure,
  kReportedSuccess,
  kReportDisabled,
  kBlockEnded,
  kAvoidEnded,
  kRecordExpired,
  kRefreshStarted,
  kRefreshFinished,
  kRefreshFailed,
  kReauthRequired,
  kMaterialExpired,
  kBreakerOpened,
  kBreakerClosed,
  kBatchApplied,
  kBatchUndone,
};
inline constexpr int kWhyCount = 24;

// One line of a credential's history. 40 bytes: eight of them are kept in memory for each one.
struct Transition {
  int64_t at_ms = 0;     // unix milliseconds
  int64_t until_ms = 0;  // next_recover_at where the new state is WAITING, else 0
  uint64_t number = 0;   // counts from 1 for each credential
  ModelId model;         // kNoModel: credential scope
  PrincipalId actor;     // who reported or ordered it; 0: the broker
  State from = State::kAvailable;
  State to = State::kAvailable;
  Why why = Why::kCreated;
  Cause cause = Cause::kNone;
};

absl::string_view Name(Kind v);
absl::string_view Name(AuthHealth v);
absl::string_view Name(Cause v);  // snake_case, used as metric label and ErrorInfo key
absl::string_view Name(State v);
absl::string_view Name(Why v);

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_CREDENTIAL_H_
