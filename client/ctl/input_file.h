// Files and standard input that a flag names.
#ifndef CREDBROKER_CLIENT_CTL_INPUT_FILE_H_
#define CREDBROKER_CLIENT_CTL_INPUT_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/ctl/context.h"

namespace credbroker::ctl {

inline constexpr size_t kMaxDocument = 1 << 20;

// Bytes of the file, or of standard input for "-". At most `limit` and one more, so that the caller
// can tell "too long". INVALID_ARGUMENT if it cannot be read; the message never quotes contents.
absl::StatusOr<std::string> ReadInput(Context& context, const std::string& path, size_t limit);

// As ReadInput, but INVALID_ARGUMENT where it is longer than `limit`.
absl::StatusOr<std::string> ReadWhole(Context& context, const std::string& path, size_t limit);

// `text`, or for "@FILE" and "@-" what stands there.
absl::StatusOr<std::string> TextOrFile(Context& context, const std::string& text, size_t limit);

// A proxy address, with "@FILE". A password on the command line is INVALID_ARGUMENT: everyone on
// the machine can read it there.
absl::StatusOr<std::string> ProxyAddress(Context& context, const std::string& text,
                                         absl::string_view flag);

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_INPUT_FILE_H_
