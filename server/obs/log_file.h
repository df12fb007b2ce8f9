// The log in a file instead of standard error.
//
// Thread-safe.
#ifndef CREDBROKER_SERVER_OBS_LOG_FILE_H_
#define CREDBROKER_SERVER_OBS_LOG_FILE_H_

#include <string>

#include "absl/status/status.h"

namespace credbroker::obs {

// From here on lines are appended to `path` (made with mode 0640); empty: standard error again.
// Called again with the same path it opens the file anew, as after a rotation. UNAVAILABLE: it
// cannot be opened; lines go on going where they went.
absl::Status SetLogFile(const std::string& path);

}  // namespace credbroker::obs

#endif  // CREDBROKER_SERVER_OBS_LOG_FILE_H_
