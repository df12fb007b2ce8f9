// The flags that make an AcquireRequest: of acquire and of explain.
#ifndef CREDBROKER_CLIENT_CTL_ACQUIRE_FLAGS_H_
#define CREDBROKER_CLIENT_CTL_ACQUIRE_FLAGS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/ctl/flags.h"
#include "credbroker/v1/broker.pb.h"

namespace credbroker::ctl {

// Not thread-safe.
class AcquireFlags {
 public:
  // What chooses a credential.
  void AddSelection(FlagSet& flags);
  // --request-id, --ttl, --max-wait.
  void AddLease(FlagSet& flags);
  // INVALID_ARGUMENT without --provider and --pin.
  absl::StatusOr<v1::AcquireRequest> Request() const;
  absl::Duration max_wait() const { return max_wait_.value_or(absl::ZeroDuration()); }

 private:
  std::vector<std::string> providers_;
  std::string model_;
  std::string group_;
  std::string session_;
  std::string pin_;
  std::vector<std::string> excluded_;
  v1::CredentialKind kind_ = v1::CREDENTIAL_KIND_UNSPECIFIED;
  google::protobuf::Map<std::string, std::string> labels_;
  std::string request_id_;
  std::optional<absl::Duration> ttl_;
  std::optional<absl::Duration> max_wait_;
};

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_ACQUIRE_FLAGS_H_
