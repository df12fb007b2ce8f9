#include "server/import/plan.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/import/field_values.h"
#include "server/import/importer.h"
#include "server/import/token_hash.h"

namespace credbroker::import {
namespace {

constexpr size_t kMaxIdBytes = 256;

// A file counts as another one when another one refreshes: the flag reaches the credential then.
std::string FileDigest(const SourceFile& file, RefreshOwner owner) {
  return absl::StrCat(Sha256(file.content), owner == RefreshOwner::kExternal ? "x" : "b");
}

void Reject(PlannedRow& row, Reason reason, std::string message) {
  row.result.action = Action::kRejected;
  row.result.reason = reason;
  row.result.message = std::move(message);
}

void AddNote(std::string& message, absl::string_view note) {
  absl::StrAppend(&message, message.empty() ? "" : "; ", note);
}

}  // namespace

std::optional<TokenBook::Hash> Planner::Entry::refresh_token() const {
  const auto at = secrets.find("refresh_token");
  if (at == secrets.end()) return std::nullopt;
  return at->second;
}

Planner::Planner(Options options, const Fleet& fleet, const TokenBook& book,
                 const RetiredLogins& retired)
    : options_(std::move(options)), fleet_(fleet), book_(book), retired_(retired) {}

bool Planner::TooManyMissing(size_t missing, size_t known) {
  return missing > std::max<size_t>(10, known / 5);
}

absl::StatusOr<std::vector<AppliedEntry>> Planner::ReadApplied() const {
  auto rows = fleet_.ReadDigests(options_.source.name);
  if (!rows.ok()) return rows.status();
  std::vector<AppliedEntry> known;
  known.reserve(rows->size());
  for (const engine::SourceDigest& row : *rows) {
    std::optional<AppliedEntry> entry = row.value ? DecodeApplied(*row.value) : std::nullopt;
    if (entry && entry->id == row.id) known.push_back(*std::move(entry));
  }
  return known;
}

absl::StatusOr<std::vector<AppliedEntry>> Planner::ReadFileRows(const std::string& base,
                                                                const std::string& path) const {
  std::vector<AppliedEntry> known;
  auto add = [&](const std::optional<std::string>& value) {
    std::optional<AppliedEntry> entry = value ? DecodeApplied(*value) : std::nullopt;
    // A directory beside the file may have its name: its rows have other paths.
    if (entry && entry->path == path) known.push_back(*std::move(entry));
  };
  auto own = fleet_.ReadDigest(base);
  if (!own.ok()) return own.status();
  add(*own);
  if (!known.empty()) return known;  // an object, or it was one: entries have no row of their own
  auto entries = fleet_.ReadDigests(base);
  if (!entries.ok()) return entries.status();
  for (const engine::SourceDigest& row : *entries) add(row.value);
  return known;
}

PlannedRow Planner::NewRow(const Entry& entry, Action action) const {
  PlannedRow row;
  row.id = entry.id;
  row.result = {.path = entry.path,
                .index = entry.index,
                .credential_id = entry.id,
                .action = action,
                .reason = Reason::kNone,
                .message = "",
                .changed_fields = {}};
  if (entry.parsed != nullptr) {
    for (const std::string& note : entry.parsed->notes) AddNote(row.result.message, note);
  }
  return row;
}

absl::StatusOr<std::vector<PlannedRow>> Planner::PlanFile(const SourceFile& file) {
  std::vector<PlannedRow> rows;
  Entry whole;
  whole.path = file.path;
  const bool bad_path = !CheckRelativePath(file.path).ok();
  const std::string base =
      absl::StrCat(options_.source.name, "/", absl::StripSuffix(file.path, ".json"));
  if (bad_path || base.size() > kMaxIdBytes - 16) {
    rows.push_back(NewRow(whole, Action::kRejected));
    rows.back().result.path = bad_path ? "" : file.path;
    Reject(rows.back(), Reason::kInvalidFile,
           "path: must be a relative UTF-8 path of at most 240 bytes with the source's name, "
           "without \"..\", dot-directories and control characters");
    return rows;
  }
  whole.id = base;
  auto known = ReadFileRows(base, file.path);
  if (!known.ok()) return known.status();
  const std::string digest = FileDigest(file, options_.source.refresh_owner);
  // The common case of a start: one object, nothing new. It need not be parsed.
  if (known->size() == 1 && known->front().id == base && known->front().digest == digest &&
      !known->front().retired && fleet_.Find(base)) {
    rows.push_back(NewRow(whole, Action::kUnchanged));
    return rows;
  }
  ParsedFile parsed = ParseAuthFile(file.content, {.provider = options_.source.provider,
                                                   .key_per_line = options_.source.key_per_line});
  if (parsed.rejection) {
    whole.id.clear();
    rows.push_back(NewRow(whole, Action::kRejected));
    Reject(rows.back(), Reason::kInvalidFile, parsed.rejection->ToString());
    return rows;
  }

  absl::flat_hash_map<std::string, const AppliedEntry*> by_id;
  for (const AppliedEntry& each : *known) by_id.emplace(each.id, &each);
  std::vector<Entry> entries;
  absl::flat_hash_set<std::string> ids;
  released_.clear();
  for (ParsedEntry& each : parsed.entries) {
    Entry entry{.id = absl::StrCat(base, each.id_suffix),
                .path = file.path,
                .digest = digest,
                .index = each.index,
                .parsed = nullptr,
                .secrets = {},
                .applied = nullptr};
    if (each.credential) {
      entry.parsed = &*each.credential;
      entry.secrets = SecretHashes(*entry.parsed->secret, book_);
    }
    if (const auto at = by_id.find(entry.id); at != by_id.end()) entry.applied = at->second;
    ids.insert(entry.id);
    entries.push_back(std::move(entry));
  }
  // Tokens may move between the entries of a file, as when the first of an array is taken out.
  for (const AppliedEntry& each : *known) {
    const auto token = each.secrets.find("refresh_token");
    if (token != each.secrets.end()) released_[token->second] = each.id;
  }
  for (const Entry& entry : entries) {
    const std::optional<TokenBook::Hash> token = entry.refresh_token();
    const auto at = token ? released_.find(*token) : released_.end();
    if (at != released_.end() && at->second == entry.id) released_.erase(at);
  }
  // Removals first: what went away may come back as another entry.
  for (const AppliedEntry& each : *known) {
    if (!options_.by_hand && !ids.contains(each.id)) rows.push_back(PlanRemoval(each));
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    const ParsedEntry& source = parsed.entries[i];
    if (source.rejection) {
      rows.push_back(NewRow(entries[i], Action::kRejected));
      Reject(rows.back(), Reason::kInvalidFile, source.rejection->ToString());
    } else if (!source.credential) {
      rows.push_back(NewRow(entries[i], Action::kSkipped));
      rows.back().result.credential_id.clear();
      rows.back().result.message = "not a credential file: it has no `type`";
    } else {
      auto row = PlanEntry(entries[i]);
      if (!row.ok()) return row.status();
      rows.push_back(*std::move(row));
    }
  }
  return rows;
}

// Who holds `token` may be gone: deleted by an operator, of which nobody told the book.
bool Planner::OwnerLives(TokenBook::Hash token) {
  const std::optional<uint64_t> owner = book_.OwnerOf(token);
  if (!owner) return false;
  if (!living_) {
    living_.emplace();
    fleet_.Visit(
        [&](const core::Document& document) { living_->insert(book_.OwnerHash(document.id)); });
  }
  return living_->contains(*owner);
}

bool Planner::CheckToken(const Entry& entry, PlannedRow& row) {
  const std::optional<TokenBook::Hash> token = entry.refresh_token();
  if (!token) return true;
  if (book_.Spent(*token, fleet_.Now())) {
    Reject(row, Reason::kRefreshTokenSpent,
           "refresh_token: was already exchanged here and is dead; log in again and import that");
    return false;
  }
  const auto claimed = claimed_.find(*token);
  bool owned = claimed != claimed_.end() && claimed->second != entry.id;
  if (!owned && book_.OwnedByOther(*token, entry.id) && OwnerLives(*token)) {
    const auto released = released_.find(*token);
    owned = released == released_.end() || book_.OwnedByOther(*token, released->second);
  }
  if (!owned) return true;
  Reject(row, Reason::kRefreshTokenOwned,
         "refresh_token: belongs to another credential here; two owners would destroy the login. "
         "Remove one of the files");
  return false;
}

absl::StatusOr<PlannedRow> Planner::PlanEntry(Entry& entry) {
  const std::optional<Fleet::Present> present = fleet_.Find(entry.id);
  const bool same =
      entry.applied != nullptr && !entry.applied->retired && entry.applied->digest == entry.digest;
  if (same && (present || !options_.by_hand)) {
    PlannedRow row = NewRow(entry, Action::kUnchanged);
    if (!present) row.result.message = "was deleted here; the file has not changed since";
    return row;
  }
  PlannedRow refused = NewRow(entry, Action::kRejected);
  if (present) {
    const core::Document& document = *present->document;
    if (document.source == options_.source.name && !document.source_path.empty() &&
        document.source_path != entry.path) {
      Reject(
          refused, Reason::kCredentialExists,
          absl::StrCat("id: is taken by the file ", document.source_path.view(), "; rename one"));
      return refused;
    }
    if (options_.source.mode == Mode::kSkip) {
      PlannedRow row = NewRow(entry, Action::kSkipped);
      AddNote(row.result.message, "the credential exists");
      return row;
    }
    if (options_.source.mode == Mode::kFail) {
      Reject(refused, Reason::kCredentialExists, "id: the credential exists");
      return refused;
    }
    if (document.provider != entry.parsed->document.provider) {
      Reject(refused, Reason::kInvalidFile,
             absl::StrCat("type: the credential is of provider ", document.provider.view(),
                          ", which cannot change; delete it first or rename the file"));
      return refused;
    }
  }
  if (!CheckToken(entry, refused)) return refused;
  auto row = present ? PlanUpdate(entry, *present) : PlanAbsent(entry);
  if (row.ok() && row->own) claimed_[*row->own] = entry.id;
  return row;
}

absl::StatusOr<PlannedRow> Planner::PlanAbsent(Entry& entry) {
  const absl::Time now = fleet_.Now();
  if (entry.applied != nullptr && entry.applied->retired &&
      now - *entry.applied->retired < kRetiredRetention) {
    return PlanRevival(entry, *entry.applied);
  }
  const std::optional<TokenBook::Hash> login = PrimaryHash(entry.secrets);
  const auto retired = login ? retired_.find(*login) : retired_.end();
  if (retired != retired_.end() && retired->second != entry.id) {
    auto bytes = fleet_.ReadDigest(retired->second);
    if (!bytes.ok()) return bytes.status();
    std::optional<AppliedEntry> before = *bytes ? DecodeApplied(**bytes) : std::nullopt;
    // A dry run retires nothing, so the record may still say that the file is there.
    if (before &&
        (options_.dry_run || (before->retired && now - *before->retired < kRetiredRetention))) {
      return PlanRevival(entry, *before);
    }
  }
  const bool deleted = entry.applied != nullptr && !entry.applied->retired;
  if (deleted && !options_.by_hand && entry.applied->fields == entry.parsed->fields) {
    // Its login tool goes on writing new tokens; nobody wants the credential back for that.
    PlannedRow row = NewRow(entry, Action::kSkipped);
    AddNote(row.result.message,
            "was deleted here; import the file by hand, or take it away and put it back");
    return row;
  }
  return PlanCreation(entry, deleted ? Action::kRevived : Action::kCreated);
}

PlannedRow Planner::PlanCreation(Entry& entry, Action action) {
  PlannedRow row = NewRow(entry, action);
  if (!entry.parsed->has_secret) {
    Reject(row, Reason::kInvalidFile,
           "access_token: no secret is there; a credential needs access_token, refresh_token, "
           "api_key, service_account or cookie");
    return row;
  }
  const absl::Time now = fleet_.Now();
  auto document = std::make_shared<core::Document>(entry.parsed->document);
  document->id = entry.id;
  document->group = options_.source.group;
  document->source = options_.source.name;
  document->source_path = entry.path;
  document->external_refresh = options_.source.refresh_owner == RefreshOwner::kExternal;
  document->create_time = now;
  for (const auto& label : options_.source.labels) {
    const auto same = [&](const auto& each) { return each.first == label.first; };
    if (std::none_of(document->labels.begin(), document->labels.end(), same)) {
      document->labels.push_back(label);
    }
  }
  std::sort(document->labels.begin(), document->labels.end());
  core::Edit edit{.op = core::Edit::Op::kCreate,
                  .why = core::Why::kCreated,
                  .id = entry.id,
                  .actor = options_.actor};
  edit.document = std::move(document);
  edit.secret = entry.parsed->secret;
  if (entry.parsed->disabled) {
    edit.intent = core::Intent{.enabled = false,
                               .actor = options_.actor,
                               .reason = "its file says disabled",
                               .since = now,
                               .until = std::nullopt};
  }
  if (absl::Status labels = fleet_.CheckLabels(nullptr, *edit.document); !labels.ok()) {
    Reject(row, Reason::kInvalidFile, std::string(labels.message()));
    return row;
  }
  row.edit = std::move(edit);
  row.own = entry.refresh_token();
  Remember(entry, row);
  return row;
}

PlannedRow Planner::PlanRemoval(const AppliedEntry& applied) {
  Entry entry;
  entry.id = applied.id;
  entry.path = applied.path;
  PlannedRow row = NewRow(entry, Action::kUnchanged);
  const std::optional<Fleet::Present> present = fleet_.Find(applied.id);
  const absl::Time now = fleet_.Now();
  if (!present) {
    // Deleted before: with the file goes the last reason to remember it. Retired: for 24 h.
    if (!applied.retired || now - *applied.retired >= kRetiredRetention) {
      row.digests.push_back({.id = applied.id, .value = std::nullopt});
    }
    return row;
  }
  if (applied.retired || present->document->source_path != applied.path) return row;
  row.result.action = Action::kRetired;
  row.result.message = "its file is gone; back within 24 hours it keeps its state";
  core::Edit edit{.op = core::Edit::Op::kDelete,
                  .why = core::Why::kDeleted,
                  .id = applied.id,
                  .actor = options_.actor};
  edit.expect_uid = present->uid;
  row.edit = std::move(edit);
  AppliedEntry after = applied;
  after.retired = now;
  row.digests.push_back({.id = applied.id, .value = EncodeApplied(after)});
  if (const auto at = applied.secrets.find("refresh_token"); at != applied.secrets.end()) {
    row.disown = at->second;
  }
  row.retired = PrimaryHash(applied.secrets);
  return row;
}

}  // namespace credbroker::import
