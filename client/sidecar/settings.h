// Reads the sidecar's configuration: YAML by the schema of proto/credbroker/sidecar/v1, checked as
// a whole, every default filled in.
//
// An error is INVALID_ARGUMENT (LoadSettingsFile also NOT_FOUND, PERMISSION_DENIED, UNAVAILABLE),
// one line per problem: "FILE:LINE:COLUMN: field: what is wrong; what to do about it".
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_SIDECAR_SETTINGS_H_
#define CREDBROKER_CLIENT_SIDECAR_SETTINGS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "credbroker/sidecar/v1/config.pb.h"

namespace credbroker::sidecar {

namespace pb = ::credbroker::sidecar::v1;

absl::StatusOr<pb::Config> LoadSettingsFile(const std::string& path);
// `name` is what messages call the file; file names in it are taken from its folder.
absl::StatusOr<pb::Config> LoadSettings(absl::string_view name, absl::string_view text);

// The simplest case, without a file. Empty texts are left out.
struct SimpleSettings {
  std::string broker;  // "unix:/run/credbroker/broker.sock"
  std::string listen;  // gRPC: "unix:/run/credbroker/sidecar.sock" or a loopback address
  std::string http;    // "127.0.0.1:7310" or "unix:/..."
};
absl::StatusOr<pb::Config> MakeSettings(const SimpleSettings& simple);

absl::Duration ToDuration(const google::protobuf::Duration& span);

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_SETTINGS_H_
