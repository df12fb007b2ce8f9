// Decides what a file does to the fleet: a three-way merge of what the file says now, what it said
// when it was last applied, and what the credential is. Rules: AUTH_FILES, "Who refreshes" and
// "Re-import is three-way".
//
// Reads the fleet and changes nothing. Thread-compatible: one thread uses a Planner.
#ifndef CREDBROKER_SERVER_IMPORT_PLAN_H_
#define CREDBROKER_SERVER_IMPORT_PLAN_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "core/edit.h"
#include "server/import/applied_entry.h"
#include "server/import/auth_file.h"
#include "server/import/fleet.h"
#include "server/import/import_types.h"
#include "server/import/token_book.h"

namespace credbroker::import {

inline constexpr absl::Duration kRetiredRetention = absl::Hours(24);

// What is to be done for one entry. The result is what happens if the engine accepts it.
struct PlannedRow {
  EntryResult result;
  std::optional<core::Edit> edit;
  std::vector<engine::SourceDigest> digests;
  // The book of tokens afterwards.
  std::string id;
  std::optional<TokenBook::Hash> own, disown;
  // The retired login that came back; of PrimaryHash().
  std::optional<TokenBook::Hash> revived;
  // A login that is retired by this row.
  std::optional<TokenBook::Hash> retired;
};

// Retired logins of a source by PrimaryHash(): a file under a new name is recognised by them.
using RetiredLogins = absl::flat_hash_map<TokenBook::Hash, std::string>;

class Planner {
 public:
  struct Options {
    SourceOptions source;
    std::string actor;
    // A person asked for it: deleted credentials come back. Watched sources: false.
    bool by_hand = false;
    bool dry_run = false;
  };

  // All outlive the planner. `retired` may change between calls.
  Planner(Options options, const Fleet& fleet, const TokenBook& book, const RetiredLogins& retired);

  // One row per entry of the file; entries that went out of it are retired unless by_hand.
  // An error is one of the fleet's.
  absl::StatusOr<std::vector<PlannedRow>> PlanFile(const SourceFile& file);

  // For a credential whose file, or entry in it, is gone. Nothing: it was deleted before, only the
  // record goes (digests of the row), or there is nothing to do.
  PlannedRow PlanRemoval(const AppliedEntry& applied);

  // What is known of the files of this source.
  absl::StatusOr<std::vector<AppliedEntry>> ReadApplied() const;

  // Whether so many removals look like a lost directory and not like somebody's wish: more than
  // max(10, 20 %) of what there was.
  static bool TooManyMissing(size_t missing, size_t known);

 private:
  // An entry of the file that is being planned.
  struct Entry {
    std::string id, path, digest;
    int index = 0;
    ParsedCredential* parsed = nullptr;
    std::map<std::string, TokenBook::Hash> secrets;
    const AppliedEntry* applied = nullptr;  // null: never, or its record is unreadable
    std::optional<TokenBook::Hash> refresh_token() const;
  };

  absl::StatusOr<std::vector<AppliedEntry>> ReadFileRows(const std::string& base,
                                                         const std::string& path) const;
  absl::StatusOr<PlannedRow> PlanEntry(Entry& entry);
  bool OwnerLives(TokenBook::Hash token);
  bool CheckToken(const Entry& entry, PlannedRow& row);
  absl::StatusOr<PlannedRow> PlanUpdate(Entry& entry, const Fleet::Present& present);
  absl::StatusOr<PlannedRow> PlanAbsent(Entry& entry);
  absl::StatusOr<PlannedRow> PlanRevival(Entry& entry, const AppliedEntry& before);
  PlannedRow PlanCreation(Entry& entry, Action action);
  // Takes from `entry` into `document` what the file changed against `before`.
  std::vector<std::string> MergeFields(const Entry& entry, const AppliedEntry* before,
                                       core::Document& document) const;
  // The secrets of `entry` that count; null: none.
  std::shared_ptr<core::SecretMaterial> ChooseSecrets(
      const Entry& entry, const std::map<std::string, TokenBook::Hash>& base,
      const AppliedEntry* before, std::string& note) const;
  PlannedRow NewRow(const Entry& entry, Action action) const;
  // Adds the record that this file was applied.
  void Remember(const Entry& entry, PlannedRow& row) const;

  const Options options_;
  const Fleet& fleet_;
  const TokenBook& book_;
  const RetiredLogins& retired_;
  // Hashes of the ids of all credentials; looked up once, when a token seems to have two owners.
  std::optional<absl::flat_hash_set<uint64_t>> living_;
  // Refresh tokens this run gave to a credential: two files with one token are one too many.
  absl::flat_hash_map<TokenBook::Hash, std::string> claimed_;
  // Tokens that credentials of the present file hold, and whether their entry gives them up.
  absl::flat_hash_map<TokenBook::Hash, std::string> released_;
};

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_PLAN_H_
