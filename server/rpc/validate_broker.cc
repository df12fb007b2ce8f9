// The data plane's rules: hot, so nothing is built for a request without fault.
#include <algorithm>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "server/rpc/validate.h"

namespace credbroker::rpc {
namespace {

constexpr size_t kMaxLeaseId = 512;  // ours are shorter; anything else is unknown, not wrong
constexpr int kMaxItems = 256;
constexpr int kMaxHeaders = 128;
constexpr size_t kMaxHeaderBytes = 16 * 1024;
constexpr size_t kMaxBody = 4096;

bool IsTokenByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         absl::string_view("!#$%&'*+-.^_`|~").find(c) != absl::string_view::npos;
}

void CheckHeaders(const google::protobuf::RepeatedPtrField<v1::Header>& headers,
                  const std::string& field, Checker& check) {
  if (headers.empty()) return;
  check.Count(headers.size(), kMaxHeaders, field);
  size_t bytes = 0;
  for (int i = 0; i < std::min(headers.size(), kMaxHeaders); ++i) {
    const v1::Header& header = headers[i];
    bytes += header.name().size() + header.value().size();
    if (header.name().empty() || header.name().size() > 256 ||
        !std::all_of(header.name().begin(), header.name().end(), &IsTokenByte)) {
      check.Add(absl::StrCat(field, "[", i, "].name"), "must be 1 to 256 bytes of a header name");
    }
    if (header.value().find_first_of(std::string("\r\n\0", 3)) != std::string::npos) {
      check.Add(absl::StrCat(field, "[", i, "].value"), "must not have CR, LF or NUL");
    }
  }
  if (bytes > kMaxHeaderBytes) {
    check.Add(field, absl::StrCat("are ", bytes, " bytes; at most ", kMaxHeaderBytes));
  }
}

// `field` makes the path of one of its fields.
void CheckOutcome(const v1::ReportItem& item,
                  absl::FunctionRef<std::string(absl::string_view)> field, Checker& check) {
  if (!v1::Outcome_IsValid(item.outcome())) check.Add(field("outcome"), "is not a known value");
  if (item.http_status() != 0 && (item.http_status() < 100 || item.http_status() > 599)) {
    check.Add(field("http_status"),
              absl::StrCat("must be 100 to 599, or 0 for none, is ", item.http_status()));
  }
  if (item.http_status() == 0 && item.outcome() == v1::OUTCOME_UNSPECIFIED) {
    check.Add(field("outcome"), "is required where there is no http_status");
  }
  if (!item.error_code().empty()) check.Text(item.error_code(), 128, field("error_code"));
  if (item.body_excerpt().size() > kMaxBody) {
    check.Add(field("body_excerpt"),
              absl::StrCat("is ", item.body_excerpt().size(), " bytes; send the first ", kMaxBody));
  }
  if (!v1::NetworkErrorKind_IsValid(item.network_error())) {
    check.Add(field("network_error"), "is not a known value");
  }
  if (item.material_version() < 0)
    check.Range(item.material_version(), 0, INT64_MAX, field("material_version"));
  if (item.has_event_time()) check.Time(item.event_time(), field("event_time"));
  if (!item.headers().empty()) CheckHeaders(item.headers(), field("headers"), check);
}

void CheckItem(const v1::ReportItem& item, int index, Checker& check) {
  const auto field = [&](absl::string_view name) {
    return absl::StrCat("items[", index, "].", name);
  };
  if (item.lease_id().empty()) check.Require(false, field("lease_id"));
  if (item.lease_id().size() > kMaxLeaseId)
    check.Text(item.lease_id(), kMaxLeaseId, field("lease_id"));
  CheckOutcome(item, field, check);
}

}  // namespace

grpc::Status Validate(const v1::AcquireRequest& request) {
  Checker check;
  check.Name(request.group(), "group");
  check.Count(request.providers_size(), 16, "providers");
  if (request.providers().empty() && request.credential_id().empty()) {
    check.Add("providers", "name at least one, or set credential_id");
  }
  for (int i = 0; i < std::min(request.providers_size(), 16); ++i) {
    const std::string& provider = request.providers(i);
    if (provider.empty()) check.Require(false, absl::StrCat("providers[", i, "]"));
    check.Name(provider, "providers");
    for (int j = 0; j < i; ++j) {
      if (provider == request.providers(j)) check.Add("providers", "names one twice");
    }
  }
  check.Text(request.model(), 256, "model");
  check.Text(request.session_key(), 256, "session_key");
  check.Text(request.credential_id(), 256, "credential_id");
  check.Count(request.excluded_credential_ids_size(), 64, "excluded_credential_ids");
  for (const std::string& id : request.excluded_credential_ids()) {
    check.Text(id, 256, "excluded_credential_ids");
  }
  check.Known(request.kind(), &v1::CredentialKind_IsValid, "kind");
  check.Count(static_cast<int>(request.labels().size()), 8, "labels");
  for (const auto& [key, value] : request.labels()) {
    check.Text(key, 32, "labels");
    check.Text(value, 64, "labels");
  }
  check.Text(request.request_id(), 128, "request_id");
  if (request.has_ttl()) check.Span(request.ttl(), absl::Seconds(1), absl::Hours(1), "ttl");
  if (request.has_max_wait()) {
    check.Span(request.max_wait(), absl::ZeroDuration(), absl::Seconds(60), "max_wait");
  }
  return check.status();
}

void CheckReport(const v1::ReportItem& item, int index, Checker& check) {
  CheckOutcome(
      item,
      [index](absl::string_view name) { return absl::StrCat("reports[", index, "].item.", name); },
      check);
}

grpc::Status Validate(const v1::RenewRequest& request) {
  Checker check;
  check.Require(!request.lease_id().empty(), "lease_id");
  check.Text(request.lease_id(), kMaxLeaseId, "lease_id");
  if (request.has_ttl()) check.Span(request.ttl(), absl::Seconds(1), absl::Hours(1), "ttl");
  return check.status();
}

grpc::Status Validate(const v1::ReleaseRequest& request) {
  Checker check;
  check.Require(!request.lease_id().empty(), "lease_id");
  check.Text(request.lease_id(), kMaxLeaseId, "lease_id");
  return check.status();
}

grpc::Status Validate(const v1::ReportRequest& request) {
  Checker check;
  if (request.items().empty()) check.Add("items", "needs 1 to 256 entries");
  check.Count(request.items_size(), kMaxItems, "items");
  for (int i = 0; i < std::min(request.items_size(), kMaxItems); ++i) {
    CheckItem(request.items(i), i, check);
  }
  return check.status();
}

grpc::Status Validate(const v1::TestPolicyRequest& request) {
  Checker check;
  check.Require(!request.provider().empty(), "provider");
  check.Name(request.provider(), "provider");
  if (request.http_status() != 0) check.Range(request.http_status(), 100, 599, "http_status");
  if (request.http_status() == 0 && request.outcome() == v1::OUTCOME_UNSPECIFIED) {
    check.Add("http_status", "give a status or an outcome");
  }
  check.Text(request.error_code(), 128, "error_code");
  check.Text(request.model(), 256, "model");
  check.Known(request.kind(), &v1::CredentialKind_IsValid, "kind");
  check.Known(request.outcome(), &v1::Outcome_IsValid, "outcome");
  check.Known(request.network_error(), &v1::NetworkErrorKind_IsValid, "network_error");
  check.Range(request.level(), 0, 64, "level");
  if (request.body_excerpt().size() > kMaxBody) check.Add("body_excerpt", "at most 4096 bytes");
  if (request.has_time()) check.Time(request.time(), "time");
  CheckHeaders(request.headers(), "headers", check);
  return check.status();
}

}  // namespace credbroker::rpc
