#include "server/import/importer.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/secret.h"
#include "server/engine/mutex.h"
#include "server/engine/random_id.h"
#include "server/import/import_run.h"

namespace credbroker::import {

class Importer::State {
 public:
  State(Fleet& given_fleet, ImporterOptions given_options)
      : fleet(given_fleet), options(std::move(given_options)), book(given_fleet.salt()) {}

  // Everything that is known of `source`, read from the store at its first use. The first call of
  // all also learns which tokens other sources and other credentials hold.
  absl::StatusOr<SourceState*> Load(const std::string& source)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(run_mutex);
  absl::Status LoadOwners() ABSL_EXCLUSIVE_LOCKS_REQUIRED(run_mutex);

  Fleet& fleet;
  const ImporterOptions options;
  TokenBook book;  // synchronised itself
  engine::Mutex run_mutex;
  bool loaded ABSL_GUARDED_BY(run_mutex) = false;
  absl::flat_hash_map<std::string, std::unique_ptr<SourceState>> sources ABSL_GUARDED_BY(run_mutex);
};

absl::Status Importer::State::LoadOwners() {
  if (loaded) return absl::OkStatus();
  auto spent = fleet.ReadSpentTokens();
  if (!spent.ok()) return spent.status();
  for (const store::SpentToken& token : *spent) book.Spend(token.hash, token.when);
  absl::flat_hash_set<std::string> names;
  std::vector<std::string> loose;  // logins that came by no file
  fleet.Visit([&](const core::Document& document) {
    if (!document.source.empty()) {
      names.insert(document.source);
    } else if (document.kind == core::Kind::kOAuth) {
      loose.push_back(document.id);
    }
  });
  for (const std::string& name : names) {
    if (auto source = Load(name); !source.ok()) return source.status();
  }
  for (const std::string& id : loose) {
    auto secret = fleet.ReadSecret(id);
    if (secret.ok() && !(*secret)->refresh_token.empty()) {
      book.Own(book.HashOf((*secret)->refresh_token), id);
    } else if (absl::IsUnavailable(secret.status())) {
      return secret.status();
    }
  }
  loaded = true;
  return absl::OkStatus();
}

absl::StatusOr<SourceState*> Importer::State::Load(const std::string& source) {
  if (const auto at = sources.find(source); at != sources.end()) return at->second.get();
  auto rows = fleet.ReadDigests(source);
  if (!rows.ok()) return rows.status();
  auto state = std::make_unique<SourceState>();
  for (const engine::SourceDigest& row : *rows) {
    const std::optional<AppliedEntry> entry = row.value ? DecodeApplied(*row.value) : std::nullopt;
    if (!entry) continue;
    if (entry->retired) {
      if (const auto login = PrimaryHash(entry->secrets)) state->retired[*login] = entry->id;
      continue;
    }
    if (!fleet.Find(entry->id)) continue;
    ++state->live;
    const auto token = entry->secrets.find("refresh_token");
    if (token != entry->secrets.end()) book.Own(token->second, entry->id);
  }
  return sources.emplace(source, std::move(state)).first->second.get();
}

Importer::Importer(Fleet& fleet, ImporterOptions options)
    : state_(std::make_unique<State>(fleet, std::move(options))) {}
Importer::~Importer() = default;

TokenBook& Importer::tokens() { return state_->book; }

absl::Status Importer::LoadTokens() {
  engine::MutexLock lock(state_->run_mutex);
  return state_->LoadOwners();
}

Importer::TokenVerdict Importer::JudgeToken(absl::string_view id, const core::Secret& token) const {
  const TokenBook& book = state_->book;
  const TokenBook::Hash hash = book.HashOf(token);
  if (book.Spent(hash, state_->fleet.Now())) return TokenVerdict::kSpent;
  if (!book.OwnedByOther(hash, id)) return TokenVerdict::kFree;
  // Whoever held it may be gone by now.
  const std::optional<uint64_t> owner = book.OwnerOf(hash);
  bool lives = false;
  state_->fleet.Visit(
      [&](const core::Document& document) { lives |= owner == book.OwnerHash(document.id); });
  return lives ? TokenVerdict::kOwned : TokenVerdict::kFree;
}

absl::StatusOr<ImportReport> Importer::Import(const ImportJob& job, std::vector<SourceFile> files) {
  if (job.source.key_per_line && job.source.provider.empty()) {
    return absl::InvalidArgumentError("provider: is required for lists of keys");
  }
  if (job.max_results < 1 || job.max_results > 100'000) {
    return absl::InvalidArgumentError("max_results: must be between 1 and 100000");
  }
  State& state = *state_;
  engine::MutexLock lock(state.run_mutex);
  if (absl::Status status = state.LoadOwners(); !status.ok()) return status;
  auto source = state.Load(job.source.name);
  if (!source.ok()) return source.status();
  ImportRun run({.source = job.source, .actor = job.actor, .by_hand = true, .dry_run = job.dry_run},
                state.options.batch_rows, state.fleet, state.book, **source);
  if (absl::Status status = run.AddFiles(std::move(files)); !status.ok()) return status;
  ImportReport report = run.TakeReport(static_cast<size_t>(job.max_results));
  if (!job.dry_run) {
    report.batch_id = engine::RandomId();
    if (state.options.on_report) state.options.on_report(job.source.name, report);
  }
  return report;
}

absl::StatusOr<ImportReport> Importer::Apply(Scan scan) {
  State& state = *state_;
  engine::MutexLock lock(state.run_mutex);
  if (absl::Status status = state.LoadOwners(); !status.ok()) return status;
  auto source = state.Load(scan.source.name);
  if (!source.ok()) return source.status();
  ImportRun run({.source = scan.source, .actor = scan.actor, .by_hand = false, .dry_run = false},
                state.options.batch_rows, state.fleet, state.book, **source);
  if (scan.complete) {
    if (absl::Status status = run.RemoveMissing(scan); !status.ok()) return status;
  }
  for (const Scan::Failure& failure : scan.failures) run.AddFailure(failure.path, failure.problem);
  if (absl::Status status = run.AddFiles(std::move(scan.files)); !status.ok()) return status;
  ImportReport report = run.TakeReport(1000);
  report.batch_id = engine::RandomId();
  if (state.options.on_report) state.options.on_report(scan.source.name, report);
  return report;
}

}  // namespace credbroker::import
