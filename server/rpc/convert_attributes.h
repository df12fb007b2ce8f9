// The attributes of a credential: kept as the JSON they were written as, sent as a Struct.
//
// Every grant and every row of a page needs this, for which protobuf's own parser, built for any
// message, takes tens of microseconds.
//
// Thread-safety: a pure function.
#ifndef CREDBROKER_SERVER_RPC_CONVERT_ATTRIBUTES_H_
#define CREDBROKER_SERVER_RPC_CONVERT_ATTRIBUTES_H_

#include <google/protobuf/struct.pb.h>

#include "absl/strings/string_view.h"

namespace credbroker::rpc {

// Replaces *out by the object `json` is. False, and *out is empty, where it is none or is nested
// deeper than 64.
bool ParseAttributes(absl::string_view json, google::protobuf::Struct* out);

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_CONVERT_ATTRIBUTES_H_
