// Requests and results of imports, without protobuf. Values; thread-compatible.
#ifndef CREDBROKER_SERVER_IMPORT_IMPORT_TYPES_H_
#define CREDBROKER_SERVER_IMPORT_IMPORT_TYPES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace credbroker::import {

inline constexpr size_t kMaxObjectBytes = 1 << 20;    // of one credential file
inline constexpr size_t kMaxFileBytes = 64 << 20;     // of an array or a key list
inline constexpr size_t kMaxRelativePathBytes = 240;  // with a source name still a legal id
inline constexpr int kMaxJsonDepth = 32;

// What to do with an id that exists.
enum class Mode : uint8_t {
  kUpdate,  // take the fields the file changed since it was last applied
  kSkip,    // leave it
  kFail,    // report it as rejected
};

// Who exchanges rotating refresh tokens. Two owners of one token destroy it.
enum class RefreshOwner : uint8_t { kExternal, kBroker };

// A source: a directory, one file, or what a caller streams. Checked by whoever fills it: `name`
// and `group` have 1 to 64 characters of [a-z0-9._-].
struct SourceOptions {
  std::string name;
  std::string group = "default";
  std::string provider;  // of files without `type` and of key lists; lower case
  Mode mode = Mode::kUpdate;
  RefreshOwner refresh_owner = RefreshOwner::kBroker;
  bool key_per_line = false;  // files are lists of API keys, needs `provider`
  std::vector<std::pair<std::string, std::string>> labels;  // of created ones, sorted by key
};

// One file as it was read. `path` is relative to the source's root, with "/". Holds secrets: the
// importer wipes `content` when it is done with it.
struct SourceFile {
  std::string path;
  std::string content;
};

enum class Action : uint8_t {
  kCreated,
  kUpdated,
  kUnchanged,
  kSkipped,
  kRejected,
  kRevived,
  kRetired
};
inline constexpr int kActionCount = 7;

enum class Reason : uint8_t {
  kNone,
  kInvalidFile,        // the file or entry is not what AUTH_FILES describes
  kRefreshTokenSpent,  // its refresh token was already exchanged
  kRefreshTokenOwned,  // its refresh token belongs to another credential here
  kCredentialExists,   // mode is kFail and the id exists
  kRefused,            // the engine refused the row, see message
  kLimitReached,       // a limit on sizes or counts
};
inline constexpr int kReasonCount = 7;

absl::string_view Name(Action action);  // "created", ...
absl::string_view Name(Reason reason);  // "invalid_file", ...

// What became of a file or of an entry of it.
struct EntryResult {
  std::string path;           // below the source's root
  int index = 0;              // 0-based entry of an array or line of a key list
  std::string credential_id;  // empty if the file could not be read that far
  Action action = Action::kUnchanged;
  Reason reason = Reason::kNone;
  std::string message;                      // for people; never a secret
  std::vector<std::string> changed_fields;  // kUpdated: the fields taken; "secret" for a new secret
};

struct ImportReport {
  std::vector<EntryResult> results;  // rejected ones first, then by path; at most max_results
  bool results_truncated = false;
  int64_t files = 0;                  // looked at
  int64_t counts[kActionCount] = {};  // entries by Action
  std::vector<std::string> warnings;  // for people: who owns the tokens now, removals held back
  bool removals_held_back = false;    // too much of the source is missing: nothing was retired
  std::string batch_id;               // names the import for the audit; empty for a dry run
  int64_t count(Action action) const { return counts[static_cast<size_t>(action)]; }
};

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_IMPORT_TYPES_H_
