#include "client/sidecar/pages.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <future>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/sidecar/http_field.h"
#include "client/sidecar/report_body.h"
#include "credbroker/client/error.h"
#include "server/obs/json_line.h"

namespace credbroker::sidecar {
namespace {

constexpr size_t kMaxTextBytes = 512;
// A credential whose headers are no HTTP is passed over once.
constexpr int kAttempts = 2;

struct Said {
  int status = 503;
  std::string reason;
  std::string message;
  std::optional<absl::Duration> retry_after;
};

int StatusOf(const absl::Status& refusal) {
  if (IsAway(refusal)) return 503;
  switch (refusal.code()) {
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return 403;
    default:
      return 503;
  }
}

Said ToSaid(const absl::Status& refusal) {
  Said said;
  said.status = StatusOf(refusal);
  said.reason = client::ReasonNameOf(refusal);
  if (said.reason.empty()) said.reason = said.status == 503 ? "BROKER_AWAY" : "REFUSED";
  said.message = std::string(refusal.message());
  said.retry_after = client::RetryDelayOf(refusal);
  // "Again soon" is true of what is away or busy, of nothing else.
  if (!said.retry_after.has_value() && (said.status == 503 || said.status == 429)) {
    said.retry_after = absl::Seconds(1);
  }
  return said;
}

http::Response Answer(const Said& said, const pb::ForwardAuth& answers) {
  http::Response response;
  response.status =
      answers.deny_status() != 0 ? static_cast<int>(answers.deny_status()) : said.status;
  obs::JsonLine error(kMaxTextBytes);
  error.AddLiteral("code", absl::StrCat(said.status));
  error.AddString("reason", said.reason);
  error.AddString("message", said.message);
  response.SetHeader("X-Credbroker-Status", absl::StrCat(said.status));
  response.SetHeader("X-Credbroker-Reason", said.reason);
  if (said.retry_after.has_value()) {
    const double seconds = absl::ToDoubleSeconds(*said.retry_after);
    error.AddDouble("retry_after_seconds", seconds);
    response.SetHeader("Retry-After",
                       absl::StrCat(std::max<int64_t>(1, std::llround(std::ceil(seconds)))));
  }
  obs::JsonLine body(kMaxTextBytes);
  body.AddLiteral("error", std::move(error).Finish());
  response.body = std::move(body).Finish() + "\n";
  return response;
}

http::Response GoAhead(const char* mode, const pb::ForwardAuth& answers) {
  http::Response response;
  response.status = static_cast<int>(answers.allow_status());
  response.content_type = "text/plain";
  response.SetHeader("X-Credbroker-Mode", mode);
  return response;
}

std::string Fingerprint(absl::string_view value) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(value.data()), value.size(), digest.data());
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

bool SameBytes(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

class LeasePage {
 public:
  explicit LeasePage(const PageContext& context) : context_(context) {}

  http::Response Handle(const http::Request& request) const {
    const int64_t began = context_.desk->Now();
    http::Response response = Find(request);
    context_.metrics->lease_duration().ObserveNanoseconds(context_.desk->Now() - began);
    return response;
  }

 private:
  const pb::ForwardAuth& answers() const { return *context_.answers; }

  void Count(const Route& route, Granting what) const {
    context_.metrics->acquired(Face::kHttp, route.index, what).Increment();
  }

  http::Response Find(const http::Request& request) const {
    auto resolved = context_.routes->Resolve(request);
    if (const auto* refusal = std::get_if<RouteTable::Refusal>(&resolved)) {
      Count(context_.routes->defaults(),
            refusal->status == 400 ? Granting::kInvalid : Granting::kDisabled);
      return Answer({.status = refusal->status,
                     .reason = refusal->reason,
                     .message = refusal->message,
                     .retry_after = std::nullopt},
                    answers());
    }
    auto& [route, wanted] = std::get<RouteTable::Wanted>(resolved);
    wanted.mutable_ttl()->set_seconds(absl::ToInt64Seconds(route->ttl));
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      Desk::Decision decision =
          context_.desk->DecideNow(Face::kHttp, *route, wanted, route->timeout + route->max_wait);
      if (route->rules.shadow()) return Shadowed(*route, request, std::move(decision));
      if (decision.kind == Desk::Decision::Kind::kBypass) return GoAhead("bypass", answers());
      if (decision.kind == Desk::Decision::Kind::kRefused) {
        if (attempt > 0) break;  // the one that cannot be emitted was the only one
        return RefusalResponse(decision.refusal, answers());
      }
      const std::string credential = decision.lease->credential_id();
      if (auto response = Give(*route, std::move(decision.lease)); response.has_value()) {
        return *std::move(response);
      }
      wanted.add_excluded_credential_ids(credential);
    }
    return Answer({.status = 503,
                   .reason = "UNUSABLE_CREDENTIAL",
                   .message = "the credential's headers are no valid HTTP; see the broker's list",
                   .retry_after = std::nullopt},
                  answers());
  }

  // nullopt: the credential cannot be put into headers; its lease went back.
  std::optional<http::Response> Give(const Route& route, std::unique_ptr<HeldLease> lease) const {
    http::Response response = GoAhead(lease->served_last() ? "last" : "lease", answers());
    if (!SetCredentialHeaders(*lease, answers(), &response)) {
      lease->Release();
      Count(route, Granting::kUnusable);
      return std::nullopt;
    }
    const LeaseId id = context_.desk->NewId();
    response.SetHeader("X-Credbroker-Lease", ToText(id));
    const absl::Status kept =
        context_.desk->Keep(Face::kHttp, route, id, std::move(lease), route.ttl);
    if (!kept.ok()) return RefusalResponse(kept, answers());
    return response;
  }

  http::Response Shadowed(const Route& route, const http::Request& request,
                          Desk::Decision decision) const {
    Shadow what = Shadow::kRefused;
    if (decision.kind == Desk::Decision::Kind::kLease) {
      what = Compare(*decision.lease, route, request);
      decision.lease->Release();
      Count(route, Granting::kShadow);
    }
    context_.metrics->shadow(route.index, what).Increment();
    return GoAhead("shadow", answers());
  }

  const PageContext context_;
};

http::Response HandleReport(const PageContext& context, const http::Request& request) {
  absl::StatusOr<std::vector<api::ReportItem>> items = ParseReportBody(request.body);
  if (!items.ok()) {
    context.metrics->reported(Face::kHttp, Reported::kMalformed).Increment();
    return Answer({.status = 400,
                   .reason = "INVALID_FIELD",
                   .message = std::string(items.status().message()),
                   .retry_after = std::nullopt},
                  pb::ForwardAuth::default_instance());
  }
  auto promise = std::make_shared<std::promise<api::ReportResponse>>();
  std::future<api::ReportResponse> answer = promise->get_future();
  context.desk->Report(Face::kHttp, *std::move(items), [promise](api::ReportResponse response) {
    promise->set_value(std::move(response));
  });
  http::Response response;
  response.body = ReportAnswerBody(answer.get());
  return response;
}

}  // namespace

http::Response RefusalResponse(const absl::Status& refusal, const pb::ForwardAuth& answers) {
  return Answer(ToSaid(refusal), answers);
}

bool SetCredentialHeaders(const HeldLease& lease, const pb::ForwardAuth& answers,
                          http::Response* response) {
  for (const client::Header& header : lease.headers()) {
    if (!IsFieldName(header.name) || IsReservedName(header.name) ||
        !IsFieldValue(header.value.reveal())) {
      return false;
    }
    response->SetHeader(absl::StrCat(answers.header_prefix(), header.name), header.value.reveal());
  }
  const struct {
    const char* name;
    absl::string_view value;
  } fields[] = {{"X-Credbroker-Credential", lease.credential_id()},
                {"X-Credbroker-Provider", lease.provider()},
                {"X-Credbroker-Model", lease.model()},
                {"X-Credbroker-Base-Url", lease.base_url()},
                {"X-Credbroker-Proxy-Url", lease.proxy_url()}};
  for (const auto& field : fields) {
    if (!IsFieldValue(field.value)) return false;
    if (!field.value.empty()) response->SetHeader(field.name, field.value);
  }
  return true;
}

Shadow Compare(const HeldLease& lease, const Route& route, const http::Request& request) {
  const std::string& fingerprint_header = route.rules.shadow_fingerprint_header();
  if (!fingerprint_header.empty()) {
    const absl::string_view used = request.Header(fingerprint_header);
    if (used.empty()) return Shadow::kAbsent;
    for (const client::Header& header : lease.headers()) {
      absl::string_view value = header.value.reveal();
      if (SameBytes(Fingerprint(value), used)) return Shadow::kSame;
      // Of a bearer token people have the token at hand, not the header.
      if (absl::StartsWithIgnoreCase(value, "bearer ") &&
          SameBytes(Fingerprint(value.substr(7)), used)) {
        return Shadow::kSame;
      }
    }
    return Shadow::kDifferent;
  }
  // Only headers that carry a secret tell credentials apart: those the request has as well.
  bool carried = false;
  for (const client::Header& header : lease.headers()) {
    if (header.name != "authorization" && header.name != "x-api-key" && header.name != "api-key" &&
        header.name != "x-goog-api-key") {
      continue;
    }
    const absl::string_view used = request.Header(header.name);
    if (used.empty()) continue;
    carried = true;
    if (!SameBytes(used, header.value.reveal())) return Shadow::kDifferent;
  }
  return carried ? Shadow::kSame : Shadow::kAbsent;
}

void AddPages(http::Router& router, const PageContext& context) {
  const auto lease = [page = LeasePage(context)](const http::Request& request) {
    return page.Handle(request);
  };
  // Proxies ask with GET or with the method of the original request.
  for (const char* method : {"GET", "POST", "PUT", "PATCH", "DELETE"}) {
    router.Handle(method, "/lease", lease);
    router.Handle(method, "/lease/*", lease);
  }
  router.Handle("POST", "/report",
                [context](const http::Request& request) { return HandleReport(context, request); });
}

}  // namespace credbroker::sidecar
