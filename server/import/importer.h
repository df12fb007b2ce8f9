// Applies credential files to the fleet: reads them, plans (plan.h), and hands the plan to the
// engine in bounded batches.
//
// Thread-safety: all functions may be called from any thread. Runs over one source exclude each
// other; a run blocks on the store, so never call one from an RPC's loop thread.
#ifndef CREDBROKER_SERVER_IMPORT_IMPORTER_H_
#define CREDBROKER_SERVER_IMPORT_IMPORTER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/import/fleet.h"
#include "server/import/import_types.h"
#include "server/import/token_book.h"

namespace credbroker::import {

// A one-shot import. The broker becomes the owner of the refresh tokens in it, and the report says
// so. Entries whose file is unchanged since it was last applied are kUnchanged; a deleted one comes
// back (kRevived), as the caller asks for it. Nothing is ever retired by it.
struct ImportJob {
  SourceOptions source;
  bool dry_run = false;    // the report is the plan; nothing changes
  int max_results = 1000;  // in the report, 1..100,000
  std::string actor;       // principal, for the audit; never empty
  std::string comment;     // for the audit
};

// A scan of a watched source.
struct Scan {
  SourceOptions source;
  std::string actor = "import";
  std::vector<SourceFile> files;  // new or changed, or all
  // Set for full scans only: everything that exists, `files` or not. What was applied once and is
  // in none of them is retired.
  bool complete = false;
  std::vector<std::string> present;
  struct Failure {
    std::string path, problem;
  };
  std::vector<Failure> failures;  // files that cannot be read; they exist
  // Directories below the root that could not be read: nothing below them is retired.
  std::vector<std::string> unreadable;
};

struct ImporterOptions {
  size_t batch_rows = 1000;  // rows handed to the engine at once
  // Called after each run; not for dry runs. `source` names it.
  std::function<void(absl::string_view source, const ImportReport& report)> on_report;
};

class Importer {
 public:
  // `fleet` outlives the importer.
  Importer(Fleet& fleet, ImporterOptions options);
  ~Importer();
  Importer(const Importer&) = delete;
  Importer& operator=(const Importer&) = delete;

  // The content of `files` is wiped. A bad file is a rejected result; the others go in.
  // UNAVAILABLE, RESOURCE_EXHAUSTED: the store or the engine; batches before the failed one stay
  // applied, and the same import again goes on from there. INVALID_ARGUMENT: the job itself.
  absl::StatusOr<ImportReport> Import(const ImportJob& job, std::vector<SourceFile> files);

  // The same for a watched source. A rejected file is tried again when it changes.
  absl::StatusOr<ImportReport> Apply(Scan scan);

  // Refresh tokens that are owned or spent here. Whoever gives a credential a refresh token by
  // another way than a file tells it (Own), and the refresher tells it about exchanges (Spend).
  TokenBook& tokens();
  // Reads the book from the store, unless that was done. Blocks on I/O; the first import does it
  // too.
  absl::Status LoadTokens();
  // Whether credential `id` may have the refresh token `token`. Walks the fleet when it may not.
  enum class TokenVerdict { kFree, kSpent, kOwned };
  TokenVerdict JudgeToken(absl::string_view id, const core::Secret& token) const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

// Whether `path` may name a file of a source: 1 to 240 bytes of UTF-8 without control characters,
// no empty, "." or ".." part, no part that begins with a dot, no backslash, no leading or trailing
// "/".
absl::Status CheckRelativePath(absl::string_view path);

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_IMPORTER_H_
