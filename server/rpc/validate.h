// Bounds of request fields. Every rule is the one its field states in proto/; each message says
// what is wrong and what would be right. UTF-8 is checked where the request is parsed (wire.h).
//
// Thread-safety: Checker is thread-compatible; the rest are pure functions.
#ifndef CREDBROKER_SERVER_RPC_VALIDATE_H_
#define CREDBROKER_SERVER_RPC_VALIDATE_H_

#include <cstdint>
#include <string>
#include <vector>

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <grpcpp/support/status.h>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "credbroker/v1/admin.pb.h"
#include "credbroker/v1/broker.pb.h"
#include "server/rpc/status.h"

namespace credbroker::rpc {

// Collects violations, at most 20. Field paths are built only for what is wrong.
class Checker {
 public:
  // `prefix` goes before every field, e.g. "credential.".
  explicit Checker(absl::string_view prefix = "") : prefix_(prefix) {}

  void Add(absl::string_view field, absl::string_view description);
  void Require(bool given, absl::string_view field);
  // At most `max` bytes and no control characters.
  void Text(absl::string_view value, size_t max, absl::string_view field);
  // Empty, or 1 to 64 of [a-z0-9._-].
  void Name(absl::string_view value, absl::string_view field);
  // Empty, or as Credential.id: 1 to 256 bytes, no control characters, no "//", no "/" at its ends.
  void Id(absl::string_view value, absl::string_view field);
  void Range(int64_t value, int64_t min, int64_t max, absl::string_view field);
  void Count(int value, int max, absl::string_view field);
  void Span(const google::protobuf::Duration& value, absl::Duration min, absl::Duration max,
            absl::string_view field);
  void Time(const google::protobuf::Timestamp& value, absl::string_view field);
  // Empty, or an address with one of these schemes ("http,https") and a host.
  void Url(absl::string_view value, absl::string_view schemes, absl::string_view field);
  template <typename Enum>
  void Known(Enum value, bool (*is_valid)(int), absl::string_view field) {
    if (!is_valid(value)) Add(field, "is not a known value");
  }

  bool ok() const { return violations_.empty(); }
  grpc::Status status() const { return ok() ? grpc::Status::OK : BadRequest(violations_); }

 private:
  const std::string prefix_;
  std::vector<FieldViolation> violations_;
};

grpc::Status Validate(const v1::AcquireRequest& request);
grpc::Status Validate(const v1::RenewRequest& request);
grpc::Status Validate(const v1::ReleaseRequest& request);
grpc::Status Validate(const v1::ReportRequest& request);
// The outcome in reports[index] of a SessionRequest, whose lease is named beside it.
void CheckReport(const v1::ReportItem& item, int index, Checker& check);

grpc::Status Validate(const v1::DisableRequest& request, absl::Time now);
grpc::Status Validate(const v1::EnableRequest& request);
grpc::Status Validate(const v1::ResetAvailabilityRequest& request);
grpc::Status Validate(const v1::GetCredentialRequest& request);
grpc::Status Validate(const v1::DeleteCredentialRequest& request);
grpc::Status Validate(const v1::CreateCredentialRequest& request);
// Also which paths of the mask are settable.
grpc::Status Validate(const v1::UpdateCredentialRequest& request);
grpc::Status Validate(const v1::BatchUpdateRequest& request, absl::Time now);
grpc::Status Validate(const v1::UndoBatchRequest& request);
grpc::Status Validate(const v1::ListCredentialsRequest& request);
grpc::Status Validate(const v1::ExportCredentialsRequest& request);
grpc::Status Validate(const v1::WatchCredentialsRequest& request);
grpc::Status Validate(const v1::ExplainRequest& request);
grpc::Status Validate(const v1::GetStatsRequest& request);
grpc::Status Validate(const v1::TestPolicyRequest& request);

// Conversions of times that were checked.
absl::Duration ToDuration(const google::protobuf::Duration& value);
absl::Time ToTime(const google::protobuf::Timestamp& value);

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_VALIDATE_H_
