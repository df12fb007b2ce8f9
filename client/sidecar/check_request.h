// The bounds of what callers send, as broker.proto and lease.proto state them. They are checked
// here, before anything joins the session's stream: what the broker cannot accept there would end
// the stream, and with it everybody's calls.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_SIDECAR_CHECK_REQUEST_H_
#define CREDBROKER_CLIENT_SIDECAR_CHECK_REQUEST_H_

#include <optional>
#include <string>

#include "credbroker/v1/lease.pb.h"

namespace credbroker::sidecar {

namespace api = ::credbroker::v1;

struct BadField {
  std::string field;
  std::string description;  // what would be right; never repeats what was sent
};

std::optional<BadField> Check(const api::AcquireRequest& request);
// lease_id is not looked at: what is no lease of ours is unknown, not wrong.
std::optional<BadField> Check(const api::ReportItem& item);
// Of a Renew.
std::optional<BadField> CheckTtl(const google::protobuf::Duration& ttl);

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_CHECK_REQUEST_H_
