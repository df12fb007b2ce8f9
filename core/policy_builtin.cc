// Sources of the codes: the error references of Anthropic, OpenAI, Google (google.rpc.Code,
// ErrorInfo reasons), Moonshot, DeepSeek and Alibaba; new-api and LiteLLM for what relays make of
// them. A row is here for a status or code that is documented or was seen to mean that and nothing
// else: text that could repeat a caller's own words never penalises a credential.
#include "core/policy_builtin.h"

#include <string>
#include <utility>
#include <vector>

namespace credbroker::core {
namespace {

using Codes = std::vector<std::string>;
using Statuses = std::vector<int>;
using Rows = std::vector<PolicyRow>;

PolicyRow Row(std::string name, Outcome outcome, Scope scope, Action action, Cause cause,
              Advice advice) {
  PolicyRow r;
  r.name = std::move(name);
  r.outcome = outcome;
  r.scope = scope;
  r.action = action;
  r.cause = cause;
  r.advice = advice;
  return r;
}

PolicyRow Nothing(std::string name, Outcome outcome, Advice advice) {
  PolicyRow r = Row(std::move(name), outcome, Scope::kRequest, Action::kNone, Cause::kNone, advice);
  r.use_hints = false;
  return r;
}

PolicyRow With(PolicyRow r, Statuses statuses, Codes codes = {}) {
  r.statuses = std::move(statuses);
  r.error_codes = std::move(codes);
  return r;
}

PolicyRow RequestFault(std::string name) {
  return Nothing(std::move(name), Outcome::kRequestFault, Advice::kGiveUp);
}

PolicyRow ModelNotFound(std::string name) {
  PolicyRow r = Row(std::move(name), Outcome::kModelNotFound, Scope::kModel, Action::kWait,
                    Cause::kModelNotFound, Advice::kRetryOther);
  r.ladder = {.first = absl::Minutes(10), .factor = 2, .max = absl::Hours(12)};
  r.use_hints = false;
  return r;
}

PolicyRow Quota(std::string name) {
  PolicyRow r = Row(std::move(name), Outcome::kQuota, Scope::kCredential, Action::kWait,
                    Cause::kQuota, Advice::kRetryOther);
  r.duration = absl::Minutes(30);
  return r;
}

PolicyRow RateLimited(std::string name) {
  PolicyRow r = Row(std::move(name), Outcome::kRateLimited, Scope::kCredential, Action::kWait,
                    Cause::kRateLimit, Advice::kRetryOther);
  r.ladder = {.first = absl::Seconds(1), .factor = 2, .max = absl::Minutes(30)};
  return r;
}

PolicyRow Transient(std::string name) {
  PolicyRow r = Row(std::move(name), Outcome::kTransient, Scope::kModel, Action::kWait,
                    Cause::kTransient, Advice::kRetryOther);
  r.ladder = {.first = absl::Seconds(5), .factor = 2, .max = absl::Seconds(60)};
  return r;
}

PolicyRow Overloaded(std::string name) {
  PolicyRow r = Row(std::move(name), Outcome::kOverloaded, Scope::kProviderModel, Action::kWait,
                    Cause::kOverloaded, Advice::kGiveUp);
  r.ladder = {.first = absl::Seconds(1), .factor = 2, .max = absl::Seconds(60)};
  r.cap = absl::Seconds(60);
  r.use_hints = false;
  return r;
}

// A 429 with a floor of 10 s. The first step less 20 % jitter is that floor.
PolicyRow Challenge(std::string name) {
  PolicyRow r = Row(std::move(name), Outcome::kChallenge, Scope::kCredential, Action::kWait,
                    Cause::kChallenge, Advice::kRetryOther);
  r.ladder = {.first = absl::Milliseconds(12'500), .factor = 2, .max = absl::Minutes(30)};
  r.hint_floor = absl::Seconds(10);
  return r;
}

PolicyRow ChallengePage(std::string name, std::string body) {
  PolicyRow r = With(Challenge(std::move(name)), {403, 429, 503});
  r.body_contains = std::move(body);
  return r;
}

// Adds `row` for bodies with a member `key` whose text begins so, written with and without a blank.
// The bare quotes keep a caller's words out: repeated inside a JSON string they would be escaped.
void AddMessage(Rows& rows, PolicyRow row, const std::string& key, const std::string& text) {
  row.body_contains = "\"" + key + "\":\"" + text;
  rows.push_back(row);
  row.name += "-spaced";
  row.body_contains = "\"" + key + "\": \"" + text;
  rows.push_back(std::move(row));
}

// One set of answers to "the token was not accepted".
void AddUnauthorized(Rows& rows, const std::string& name, const Statuses& statuses,
                     const Codes& codes) {
  PolicyRow key = Row(name + "-api-key", Outcome::kUnauthorized, Scope::kCredential,
                      Action::kDisable, Cause::kTokenRejected, Advice::kRetryOther);
  key.kind = Kind::kApiKey;
  rows.push_back(With(std::move(key), statuses, codes));

  PolicyRow refresh = Row(name + "-refresh", Outcome::kUnauthorized, Scope::kCredential,
                          Action::kRefresh, Cause::kRefresh, Advice::kRetrySame);
  refresh.refreshable = true;
  refresh.duration = kRefreshAttempt;
  refresh.use_hints = false;
  rows.push_back(With(std::move(refresh), statuses, codes));

  PolicyRow wait = Row(name + "-no-refresher", Outcome::kUnauthorized, Scope::kCredential,
                       Action::kWait, Cause::kTokenRejected, Advice::kRetryOther);
  wait.duration = kTokenRejectedWait;
  wait.use_hints = false;
  rows.push_back(With(std::move(wait), statuses, codes));
}

// What the proxy said in its own word and no status stands for.
void AddStated(Rows& rows) {
  PolicyRow cancelled = Nothing("cancelled", Outcome::kCancelled, Advice::kNone);
  cancelled.stated = Outcome::kCancelled;
  rows.push_back(std::move(cancelled));
  PolicyRow network = Nothing("network", Outcome::kNetwork, Advice::kRetryOther);
  network.cause = Cause::kNetwork;
  network.stated = Outcome::kNetwork;
  rows.push_back(std::move(network));
  PolicyRow challenge = Challenge("challenge");
  challenge.stated = Outcome::kChallenge;
  rows.push_back(std::move(challenge));
}

void AddChallengePages(Rows& rows) {
  PolicyRow header = With(Challenge("challenge-header"), {403, 429, 503});
  header.header_name = "cf-mitigated";
  header.header_contains = "challenge";
  rows.push_back(std::move(header));
  rows.push_back(ChallengePage("challenge-page", "<html*just a moment"));
  rows.push_back(ChallengePage("challenge-script", "<html*_cf_chl_opt"));
  rows.push_back(ChallengePage("challenge-block-page", "<html*attention required! | cloudflare"));
}

// Codes that mean one thing whatever the status. The narrow ones first: OpenAI answers a wrong key
// and an unknown model with type invalid_request_error and says which in `code`.
void AddCodes(Rows& rows) {
  rows.push_back(With(RequestFault("request-fault-code"), {},
                      {"context_length_exceeded",
                       "context_too_long",
                       "prompt_too_long",
                       "max_tokens_exceeded",
                       "string_above_max_length",
                       "array_above_max_length",
                       "request_too_large",
                       "payload_too_large",
                       "content_policy_violation",
                       "content_filter",
                       "content_policy",
                       "responsibleaipolicyviolation",
                       "prohibited_content",
                       "data_inspection_failed",
                       "invalid_prompt",
                       "invalid_image",
                       "image_parse_error",
                       "unsupported_parameter",
                       "unsupported_value",
                       "unknown_parameter",
                       "missing_required_parameter",
                       "invalid_value",
                       "invalid_type",
                       "previous_response_not_found",
                       "cyber_policy_violation"}));
  rows.push_back(With(Overloaded("overloaded-code"), {},
                      {"overloaded_error", "overloaded", "engine_overloaded_error",
                       "engine_overloaded", "model_overloaded", "server_is_overloaded"}));
  rows.push_back(
      With(Quota("quota-code"), {},
           {"insufficient_quota", "insufficient_balance", "insufficient_credits",
            "insufficient_user_quota", "billing_error", "billing_hard_limit_reached",
            "billing_not_active", "payment_required", "usage_limit_reached", "usage_not_included",
            "quota_exceeded", "quota_exhausted", "exceeded_current_quota_error",
            "credit_balance_too_low", "monthly_request_count", "arrearage"}));
  // Google answers a wrong key with 400 INVALID_ARGUMENT and this reason.
  AddUnauthorized(rows, "unauthorized-key-code", {0, 2, 400, 401, 403},
                  {"api_key_invalid", "invalid_api_key", "incorrect_api_key"});
  AddUnauthorized(
      rows, "unauthorized-code", {0, 2, 401},
      {"authentication_error", "invalid_authentication_error", "invalid_token", "expired_token",
       "token_expired", "token_invalidated", "token_revoked", "account_deactivated",
       "unauthenticated", "unauthorized", "access_token_expired"});
  rows.push_back(
      With(ModelNotFound("model-not-found-code"), {0, 2, 400, 401, 403, 404, 422},
           {"model_not_found", "model_not_supported", "unsupported_model", "model_not_available",
            "modelnotfound", "model_not_found_error", "invalid_model", "deploymentnotfound"}));
  // DeepSeek: 402 "Insufficient Balance" with code invalid_request_error.
  AddMessage(rows, With(Quota("quota-balance"), {402}), "message", "insufficient balance");
  rows.push_back(
      With(RequestFault("request-fault-type"), {0, 2, 400, 401, 402, 404, 413, 422},
           {"invalid_request_error", "invalid_request", "invalid_argument", "badrequesterror",
            "bad_request_error", "bad_request", "invalid_parameter", "invalidparameter"}));
  // An error in a stream that began with 200, or a code without any status.
  rows.push_back(With(RateLimited("rate-limited-code"), {0, 2},
                      {"rate_limit_error", "rate_limit_exceeded", "resource_exhausted",
                       "too_many_requests", "rate_limit_reached_error"}));
  rows.push_back(With(Transient("transient-code"), {0, 2},
                      {"api_error", "server_error", "internal_server_error", "internal_error",
                       "internal", "unavailable", "timeout_error", "deadline_exceeded"}));
}

void AddStatuses(Rows& rows) {
  PolicyRow other = Nothing("error-after-success", Outcome::kOther, Advice::kGiveUp);
  rows.push_back(With(std::move(other), {2}, {"*"}));
  rows.push_back(With(Nothing("success", Outcome::kSuccess, Advice::kNone), {2}));
  rows.push_back(With(RequestFault("request-fault"), {400, 413, 422}));
  AddUnauthorized(rows, "unauthorized", {401}, {});
  rows.push_back(With(Quota("quota"), {402}));
  PolicyRow forbidden = Row("forbidden", Outcome::kForbidden, Scope::kCredential, Action::kWait,
                            Cause::kForbidden, Advice::kRetryOther);
  forbidden.duration = absl::Minutes(30);
  forbidden.disable_after = 3;
  rows.push_back(With(std::move(forbidden), {403}));
  rows.push_back(With(ModelNotFound("model-not-found"), {404}));
  rows.push_back(With(RateLimited("rate-limited"), {429}));
  // nginx and google.rpc.CANCELLED: the client closed the request.
  rows.push_back(With(Nothing("client-closed", Outcome::kCancelled, Advice::kNone), {499}));
  rows.push_back(With(Overloaded("overloaded"), {529}));
  rows.push_back(With(Transient("transient"), {408, 5}));
  rows.push_back(With(RequestFault("other-client-error"), {4}));
  rows.push_back(Nothing("other", Outcome::kOther, Advice::kGiveUp));
}

// Google's 429 of any reason is a limit of one model; QUOTA_EXHAUSTED comes with the time it ends.
Rows GoogleRows() { return {With(RateLimited("google-rate-limited"), {429})}; }

// Anthropic reports an empty prepaid balance as 400 invalid_request_error.
Rows AnthropicRows() {
  Rows rows;
  AddMessage(rows, With(Quota("anthropic-credit-balance"), {400, 402, 403}), "message",
             "your credit balance is too low");
  return rows;
}

// xAI answers a wrong key with 400.
Rows XaiRows() {
  Rows keys, rows;
  AddUnauthorized(keys, "xai-incorrect-key", {400}, {});
  for (const PolicyRow& r : keys) AddMessage(rows, r, "error", "incorrect api key provided");
  return rows;
}

}  // namespace

absl::Span<const PolicyRow> BuiltinRows() {
  static const Rows* const rows = [] {
    auto* all = new Rows;
    AddStated(*all);
    AddChallengePages(*all);
    AddCodes(*all);
    AddStatuses(*all);
    return all;
  }();
  return *rows;
}

absl::Span<const PolicyRow> BuiltinRowsOf(absl::string_view provider) {
  if (provider == "gemini" || provider == "vertex" || provider == "antigravity") {
    static const Rows* const rows = new Rows(GoogleRows());
    return *rows;
  }
  if (provider == "anthropic" || provider == "claude") {
    static const Rows* const rows = new Rows(AnthropicRows());
    return *rows;
  }
  if (provider == "xai") {
    static const Rows* const rows = new Rows(XaiRows());
    return *rows;
  }
  return {};
}

bool BuiltinPerModelLimits(absl::string_view provider) {
  // Gemini API, "Rate limits": quotas are per project and model. Others share limits between models
  // of a family or count the account, so the whole credential is the safe guess.
  return provider == "gemini" || provider == "vertex" || provider == "antigravity";
}

}  // namespace credbroker::core
