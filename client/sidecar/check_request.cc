#include "client/sidecar/check_request.h"

#include <algorithm>

#include "absl/strings/string_view.h"
#include "client/sidecar/http_field.h"

namespace credbroker::sidecar {
namespace {

constexpr int64_t kHour = 3600;
constexpr int64_t kMaxUnixSeconds = 253402300799;  // the end of year 9999

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

// Whole and part of one sign, between `min` and `max` seconds.
bool IsWithin(const google::protobuf::Duration& span, int64_t min, int64_t max) {
  if (span.nanos() < 0 || span.nanos() > 999'999'999) return false;
  return span.seconds() >= min &&
         (span.seconds() < max || (span.seconds() == max && span.nanos() == 0));
}

std::optional<BadField> CheckProviders(const api::AcquireRequest& request) {
  if (request.providers_size() > 16) return BadField{"providers", "at most 16"};
  if (request.providers().empty() && request.credential_id().empty()) {
    return BadField{"providers", "name at least one, or set credential_id"};
  }
  for (int i = 0; i < request.providers_size(); ++i) {
    if (!IsName(request.providers(i))) {
      return BadField{"providers", "must be 1 to 64 of [a-z0-9._-]"};
    }
    for (int j = 0; j < i; ++j) {
      if (request.providers(i) == request.providers(j)) {
        return BadField{"providers", "names one twice"};
      }
    }
  }
  return std::nullopt;
}

std::optional<BadField> CheckHeaders(const api::ReportItem& item) {
  if (item.headers_size() > 128) return BadField{"headers", "at most 128"};
  size_t bytes = 0;
  for (const api::Header& header : item.headers()) {
    bytes += header.name().size() + header.value().size();
    if (!IsFieldName(header.name())) {
      return BadField{"headers", "a name must be 1 to 256 bytes of a header name"};
    }
    if (absl::string_view(header.value()).find_first_of(absl::string_view("\r\n\0", 3)) !=
        absl::string_view::npos) {
      return BadField{"headers", "a value must not have CR, LF or NUL"};
    }
  }
  if (bytes > 16 * 1024) return BadField{"headers", "at most 16 KiB in all"};
  return std::nullopt;
}

}  // namespace

std::optional<BadField> CheckTtl(const google::protobuf::Duration& ttl) {
  if (IsWithin(ttl, 1, kHour)) return std::nullopt;
  return BadField{"ttl", "must be 1 s to 1 h"};
}

std::optional<BadField> Check(const api::AcquireRequest& request) {
  if (!request.group().empty() && !IsName(request.group())) {
    return BadField{"group", "must be 1 to 64 of [a-z0-9._-]"};
  }
  if (auto bad = CheckProviders(request)) return bad;
  const struct {
    const char* field;
    absl::string_view value;
    size_t max;
  } texts[] = {{"model", request.model(), 256},
               {"session_key", request.session_key(), 256},
               {"credential_id", request.credential_id(), 256},
               {"request_id", request.request_id(), 128}};
  for (const auto& text : texts) {
    if (!IsCleanText(text.value, text.max)) {
      return BadField{text.field,
                      text.max == 128
                          ? "must be UTF-8 of at most 128 bytes, no control characters"
                          : "must be UTF-8 of at most 256 bytes, no control characters"};
    }
  }
  if (request.excluded_credential_ids_size() > 64) {
    return BadField{"excluded_credential_ids", "at most 64"};
  }
  for (const std::string& id : request.excluded_credential_ids()) {
    if (!IsCleanText(id, 256)) {
      return BadField{"excluded_credential_ids",
                      "must be UTF-8 of at most 256 bytes, no control characters"};
    }
  }
  if (!api::CredentialKind_IsValid(request.kind())) return BadField{"kind", "is not a known value"};
  if (request.labels().size() > 8) return BadField{"labels", "at most 8"};
  for (const auto& [key, value] : request.labels()) {
    if (!IsCleanText(key, 32) || !IsCleanText(value, 64)) {
      return BadField{"labels", "a key has at most 32 bytes, a value 64, no control characters"};
    }
  }
  if (request.has_ttl()) {
    if (auto bad = CheckTtl(request.ttl())) return bad;
  }
  if (request.has_max_wait() && !IsWithin(request.max_wait(), 0, 60)) {
    return BadField{"max_wait", "must be 0 to 60 s"};
  }
  return std::nullopt;
}

std::optional<BadField> Check(const api::ReportItem& item) {
  if (!api::Outcome_IsValid(item.outcome())) return BadField{"outcome", "is not a known value"};
  if (item.http_status() != 0 && (item.http_status() < 100 || item.http_status() > 599)) {
    return BadField{"http_status", "must be 100 to 599, or 0 for none"};
  }
  if (item.http_status() == 0 && item.outcome() == api::OUTCOME_UNSPECIFIED) {
    return BadField{"outcome", "is required where there is no http_status"};
  }
  if (!IsCleanText(item.error_code(), 128)) {
    return BadField{"error_code", "must be UTF-8 of at most 128 bytes, no control characters"};
  }
  if (item.body_excerpt().size() > 4096) {
    return BadField{"body_excerpt", "send the first 4096 bytes"};
  }
  if (!api::NetworkErrorKind_IsValid(item.network_error())) {
    return BadField{"network_error", "is not a known value"};
  }
  if (item.material_version() < 0) return BadField{"material_version", "must not be negative"};
  if (item.has_event_time() &&
      (item.event_time().seconds() < 0 || item.event_time().seconds() > kMaxUnixSeconds ||
       item.event_time().nanos() < 0 || item.event_time().nanos() > 999'999'999)) {
    return BadField{"event_time", "is not a time"};
  }
  return CheckHeaders(item);
}

}  // namespace credbroker::sidecar
