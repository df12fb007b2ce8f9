#include "client/session/request_check.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/session/wire_time.h"
#include "credbroker/client/error.h"
#include "credbroker/client/outcome.h"
#include "google/rpc/error_details.pb.h"

namespace credbroker::client {
namespace {

constexpr int kMaxHeaders = 128;
constexpr size_t kMaxHeaderBytes = 16 << 10;
constexpr size_t kMaxHeaderName = 256;
constexpr size_t kMaxErrorCode = 128;
constexpr size_t kMaxBody = 4 << 10;

// The length of the UTF-8 sequence (RFC 3629) at the beginning of `text`; 0: it is none.
size_t SequenceAt(absl::string_view text) {
  const auto byte = [&](size_t i) -> unsigned char {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto follows = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (!follows(1) || !follows(2)) return 0;
    // Neither longer than needed nor a surrogate.
    if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f)) return 0;
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!follows(1) || !follows(2) || !follows(3)) return 0;
    if ((first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) return 0;
    return 4;
  }
  return 0;
}

class Problems {
 public:
  void Add(absl::string_view field, absl::string_view description) {
    auto* violation = bad_.add_field_violations();
    violation->set_field(std::string(field));
    violation->set_description(std::string(description));
  }

  void Text(absl::string_view value, size_t most, absl::string_view field) {
    if (value.size() > most) Add(field, absl::StrCat("at most ", most, " bytes"));
    while (!value.empty()) {
      const size_t length = SequenceAt(value);
      const auto byte = static_cast<unsigned char>(value[0]);
      if (length == 0) return Add(field, "is not UTF-8");
      if (byte < 0x20 || byte == 0x7f) return Add(field, "has a control character");
      value.remove_prefix(length);
    }
  }

  void Name(absl::string_view value, absl::string_view field) {
    const bool good = std::all_of(value.begin(), value.end(), [](char c) {
      return absl::ascii_islower(static_cast<unsigned char>(c)) ||
             absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
    });
    if (!good || value.size() > 64) Add(field, "1 to 64 characters of [a-z0-9._-]");
  }

  absl::Status status() const {
    if (bad_.field_violations().empty()) return absl::OkStatus();
    google::rpc::Status wire;
    wire.set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
    wire.set_message(absl::StrCat(bad_.field_violations(0).field(), ": ",
                                  bad_.field_violations(0).description()));
    google::rpc::ErrorInfo info;
    info.set_domain("credbroker");
    info.set_reason("INVALID_FIELD");
    wire.add_details()->PackFrom(info);
    wire.add_details()->PackFrom(bad_);
    absl::Status status = FromRpcStatus(wire);
    LocalError(LocalReason::kInvalidArgument, "")
        .ForEachPayload([&](absl::string_view type, const absl::Cord& payload) {
          status.SetPayload(type, payload);
        });
    return status;
  }

 private:
  google::rpc::BadRequest bad_;
};

bool IsTokenByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         absl::string_view("!#$%&'*+-.^_`|~").find(c) != absl::string_view::npos;
}

bool IsSendable(const v1::Header& header) {
  return !header.name().empty() && header.name().size() <= kMaxHeaderName &&
         std::all_of(header.name().begin(), header.name().end(), &IsTokenByte) &&
         header.value().find_first_of(std::string("\r\n\0", 3)) == std::string::npos &&
         !IsPrivateHeader(header.name());
}

// As much of it as is printable UTF-8, at most `most` bytes.
std::string Printable(absl::string_view text, size_t most) {
  std::string out;
  while (!text.empty()) {
    const size_t length = SequenceAt(text);
    const auto byte = static_cast<unsigned char>(text[0]);
    if (out.size() + std::max<size_t>(length, 1) > most) break;
    if (length != 0 && byte >= 0x20 && byte != 0x7f) {
      out.append(text.data(), length);
    } else {
      out.push_back('?');
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

}  // namespace

absl::Status CheckRequest(const v1::AcquireRequest& request) {
  Problems problems;
  problems.Name(request.group(), "group");
  if (request.providers_size() > 16) problems.Add("providers", "at most 16");
  if (request.providers().empty() && request.credential_id().empty()) {
    problems.Add("providers", "name at least one, or set credential_id");
  }
  for (int i = 0; i < request.providers_size(); ++i) {
    const std::string& provider = request.providers(i);
    if (provider.empty()) problems.Add("providers", "names an empty one");
    problems.Name(provider, "providers");
    if (std::count(request.providers().begin(), request.providers().end(), provider) > 1) {
      problems.Add("providers", "names one twice");
    }
  }
  problems.Text(request.model(), 256, "model");
  problems.Text(request.session_key(), 256, "session_key");
  problems.Text(request.credential_id(), 256, "credential_id");
  if (request.excluded_credential_ids_size() > 64) {
    problems.Add("excluded_credential_ids", "at most 64");
  }
  for (const std::string& id : request.excluded_credential_ids()) {
    problems.Text(id, 256, "excluded_credential_ids");
  }
  if (!v1::CredentialKind_IsValid(request.kind())) problems.Add("kind", "is not a known value");
  if (request.labels().size() > 8) problems.Add("labels", "at most 8");
  for (const auto& [key, value] : request.labels()) {
    problems.Text(key, 32, "labels");
    problems.Text(value, 64, "labels");
  }
  problems.Text(request.request_id(), 128, "request_id");
  if (request.has_ttl()) {
    const absl::Duration ttl = FromWire(request.ttl());
    if (request.ttl().nanos() < 0 || request.ttl().nanos() > 999'999'999 ||
        ttl < absl::Seconds(1) || ttl > absl::Hours(1)) {
      problems.Add("ttl", "1 s to 1 h");
    }
  }
  return problems.status();
}

void MakeSendable(v1::ReportItem* item) {
  if (!v1::Outcome_IsValid(item->outcome())) item->clear_outcome();
  if (item->http_status() < 100 || item->http_status() > 599) item->clear_http_status();
  if (item->http_status() == 0 && item->outcome() == v1::OUTCOME_UNSPECIFIED) {
    item->set_outcome(v1::OUTCOME_NETWORK_ERROR);
  }
  if (!v1::NetworkErrorKind_IsValid(item->network_error())) item->clear_network_error();
  item->set_error_code(Printable(item->error_code(), kMaxErrorCode));
  if (item->body_excerpt().size() > kMaxBody) item->mutable_body_excerpt()->resize(kMaxBody);
  if (item->material_version() < 0) item->clear_material_version();
  // 0001 to 9999, as the format has it.
  if (item->event_time().seconds() < 0 || item->event_time().seconds() > 253402300799 ||
      item->event_time().nanos() < 0 || item->event_time().nanos() > 999'999'999) {
    item->clear_event_time();
  }
  auto* headers = item->mutable_headers();
  size_t bytes = 0;
  int kept = 0;
  for (int i = 0; i < headers->size() && kept < kMaxHeaders; ++i) {
    v1::Header& header = (*headers)[i];
    if (!IsSendable(header)) continue;
    const size_t size = header.name().size() + header.value().size();
    if (bytes + size > kMaxHeaderBytes) continue;
    bytes += size;
    absl::AsciiStrToLower(header.mutable_name());
    headers->SwapElements(kept++, i);
  }
  headers->DeleteSubrange(kept, headers->size() - kept);
}

}  // namespace credbroker::client
