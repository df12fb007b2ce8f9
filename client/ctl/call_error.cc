#include "client/ctl/call_error.h"

#include <map>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/ctl/display.h"
#include "client/ctl/words.h"
#include "google/rpc/error_details.pb.h"

namespace credbroker::ctl {
namespace {

constexpr char kPayload[] = "type.googleapis.com/google.rpc.Status";

void AddInfo(const google::rpc::ErrorInfo& info, std::string* reason,
             std::vector<std::string>* lines) {
  *reason = info.reason();
  std::vector<std::string> causes;
  std::vector<std::string> facts;
  const std::map<std::string, std::string> sorted(info.metadata().begin(), info.metadata().end());
  for (const auto& [key, value] : sorted) {
    if (absl::StartsWith(key, "cause.")) {
      causes.push_back(absl::StrCat(key.substr(6), " ", value));
    } else {
      facts.push_back(absl::StrCat(key, ": ", value));
    }
  }
  if (!causes.empty()) lines->push_back(absl::StrCat("causes: ", absl::StrJoin(causes, ", ")));
  lines->insert(lines->end(), facts.begin(), facts.end());
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status, absl::string_view server) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status wire;
  if (!wire.ParseFromString(status.error_details()) || wire.code() != status.error_code()) {
    wire.Clear();
    wire.set_code(status.error_code());
  }
  std::string message = status.error_message();
  if (wire.details().empty() && status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    message = absl::StrCat("cannot reach the broker at ", server, " (", message, ")");
  } else if (wire.details().empty() && status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    message = absl::StrCat("the broker at ", server, " did not answer in time; see --timeout");
  }
  wire.set_message(message);
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), message);
  result.SetPayload(kPayload, absl::Cord(wire.SerializeAsString()));
  return result;
}

std::string ErrorText(const google::rpc::Status& status) {
  std::string reason;
  std::string retry;
  std::vector<std::string> lines;
  for (const auto& detail : status.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo again;
    google::rpc::BadRequest bad;
    if (detail.UnpackTo(&info)) {
      AddInfo(info, &reason, &lines);
    } else if (detail.UnpackTo(&again)) {
      retry = absl::StrCat("; retry in ", SpanWords(ToDuration(again.retry_delay())));
    } else if (detail.UnpackTo(&bad)) {
      for (const auto& violation : bad.field_violations()) {
        lines.push_back(absl::StrCat(violation.field(), ": ", violation.description()));
      }
    }
  }
  std::string text = absl::StatusCodeToString(static_cast<absl::StatusCode>(status.code()));
  if (!reason.empty()) absl::StrAppend(&text, " ", Printable(reason));
  absl::StrAppend(&text, ": ", Printable(status.message()), retry);
  for (const std::string& line : lines) absl::StrAppend(&text, "\n  ", Printable(line));
  return text;
}

std::string ErrorText(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  google::rpc::Status wire;
  if (payload.has_value() && wire.ParseFromString(std::string(*payload))) return ErrorText(wire);
  return Printable(std::string(status.message()));
}

}  // namespace credbroker::ctl
