#include "server/engine/engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/batch.h"
#include "server/engine/commands.h"
#include "server/engine/edit_work.h"
#include "server/engine/engine_state.h"
#include "server/engine/ledger_commands.h"

namespace credbroker::engine {
namespace {

absl::StatusOr<store::SecretEntry> SecretEntryOf(const Engine& engine, const EngineState& state,
                                                 absl::string_view id) {
  const std::optional<core::CredentialView> view = engine.Get(id);
  if (!view) return absl::NotFoundError(absl::StrCat("no credential '", id, "'"));
  return ReadSecret(state.store_, *state.sealer_, *view->document);
}

}  // namespace

Engine::Engine(EngineOptions options, const Clock& clock, store::Store& store)
    : state_(std::make_unique<EngineState>(std::move(options), clock, store)) {}
Engine::~Engine() = default;

absl::Status Engine::Start(std::shared_ptr<const store::Keyring> keyring) {
  return state_->Start(std::move(keyring));
}
absl::Status Engine::ready() const { return state_->ready(); }
void Engine::Stop(absl::Duration patience) { state_->Stop(patience); }
absl::Status Engine::Reconfigure(core::Settings settings,
                                 std::shared_ptr<const core::PolicyTable> policy) {
  return state_->Reconfigure(std::move(settings), std::move(policy));
}
void Engine::Tick() {
  if (state_->serving()) state_->AdvanceAll();
}
void Engine::Drain() { state_->Drain(); }
absl::Time Engine::Now() const { return state_->Now(); }

// --- data plane ---

AcquireAnswer Engine::Acquire(const core::AcquireCommand& command, AcquireDone done) {
  return state_->Acquire(command, std::move(done));
}

void Engine::CancelWait(core::WaiterId waiter) {
  if (!state_->serving()) return;
  state_->Locked([&](core::Pool& pool, absl::Time now, core::Effects& effects) {
    pool.CancelWait(waiter, now, effects);
  });
}

core::ReportReply Engine::Report(absl::string_view principal, const ReportItem& item) {
  return state_->ReportOne(principal, item);
}

std::vector<core::ReportReply> Engine::ReportBatch(absl::string_view principal,
                                                   absl::Span<const ReportItem> items) {
  // One lock for each: reports of other callers get in between.
  std::vector<core::ReportReply> replies;
  replies.reserve(items.size());
  for (const ReportItem& item : items) replies.push_back(state_->ReportOne(principal, item));
  return replies;
}

core::RenewReply Engine::Renew(absl::string_view principal, absl::string_view lease_id,
                               absl::Duration ttl) {
  core::RenewReply reply{.result = core::RenewResult::kNotFound, .expires = absl::InfinitePast()};
  const std::optional<core::LeaseClaims> claims = state_->Decode(lease_id);
  if (!claims) return reply;
  state_->Locked([&](core::Pool& pool, absl::Time now, core::Effects& effects) {
    reply = pool.Renew(principal, *claims, ttl, now, effects);
  });
  return reply;
}

bool Engine::Release(absl::string_view principal, absl::string_view lease_id) {
  const std::optional<core::LeaseClaims> claims = state_->Decode(lease_id);
  if (!claims) return false;
  bool ended = false;
  state_->Locked([&](core::Pool& pool, absl::Time now, core::Effects& effects) {
    ended = pool.Release(principal, *claims, now, effects);
  });
  return ended;
}

EngineSessions& Engine::sessions() { return state_->sessions_; }

std::optional<core::LeaseClaims> Engine::InspectLease(absl::string_view lease_id) const {
  return state_->Decode(lease_id);
}

// --- reads ---

std::optional<core::CredentialView> Engine::Get(absl::string_view id) const {
  std::optional<core::CredentialView> view;
  if (!state_->serving()) return view;
  state_->Read([&](const core::Pool& pool, absl::Time now) { view = pool.Get(id, now); });
  return view;
}

std::string Engine::Scan(absl::string_view after_id, int limit,
                         absl::FunctionRef<bool(const core::CredentialRow&)> visit) const {
  std::string last;
  if (!state_->serving()) return last;
  state_->Read([&](const core::Pool& pool, absl::Time now) {
    last = pool.Scan(after_id, std::min(limit, 256), now, visit);
  });
  return last;
}

core::Explanation Engine::Explain(const core::AcquireCommand& command, absl::string_view after_id,
                                  int limit) const {
  core::Explanation explanation;
  if (!state_->serving()) return explanation;
  state_->Read([&](const core::Pool& pool, absl::Time now) {
    explanation = pool.Explain(command, after_id, limit, now);
  });
  return explanation;
}

EngineStats Engine::Stats() const { return state_->Stats(); }
std::shared_ptr<const core::PolicyTable> Engine::policy() const { return state_->policy(); }
std::shared_ptr<Subscription> Engine::Watch(size_t limit, std::function<void()> on_ready,
                                            std::optional<uint64_t> after) {
  return state_->hub_.Subscribe(limit, std::move(on_ready), after);
}

absl::StatusOr<std::vector<core::TransitionView>> Engine::ReadHistory(absl::string_view id) const {
  const std::optional<core::CredentialView> view = Get(id);
  if (!view) return absl::NotFoundError(absl::StrCat("no credential '", id, "'"));
  absl::StatusOr<std::vector<store::Row>> rows =
      state_->store_.ReadPrefix({.kind = store::RowKind::kHistory,
                                 .prefix = store::HistoryPrefix(id, view->uid),
                                 .after = "",
                                 .limit = 2 * store::kStoredHistory});
  if (!rows.ok()) return rows.status();
  std::vector<core::TransitionView> lines;
  for (auto row = rows->rbegin(); row != rows->rend(); ++row) {
    absl::StatusOr<core::Secret> plain = state_->sealer_->Open(*row);
    if (!plain.ok()) continue;
    absl::StatusOr<store::HistoryEntry> entry = store::DecodeHistory(plain->reveal());
    if (entry.ok() && lines.size() < store::kStoredHistory) {
      lines.push_back(std::move(entry->line));
    }
  }
  return lines;
}

absl::StatusOr<std::shared_ptr<const core::SecretMaterial>> Engine::ReadSecret(
    absl::string_view id) const {
  absl::StatusOr<store::SecretEntry> entry = SecretEntryOf(*this, *state_, id);
  if (!entry.ok()) return entry.status();
  return std::move(entry->secret);
}

absl::StatusOr<absl::Time> Engine::ReadSecretTime(absl::string_view id) const {
  absl::StatusOr<store::SecretEntry> entry = SecretEntryOf(*this, *state_, id);
  if (!entry.ok()) return entry.status();
  return entry->written;
}

absl::StatusOr<std::vector<SourceDigest>> Engine::ReadDigests(absl::string_view source) const {
  if (!state_->serving()) return absl::UnavailableError(ready().message());
  std::vector<SourceDigest> digests;
  store::PrefixQuery query{.kind = store::RowKind::kSourceDigest,
                           .prefix = absl::StrCat(source, "/"),
                           .after = "",
                           .limit = 1000};
  while (true) {
    absl::StatusOr<std::vector<store::Row>> rows = state_->store_.ReadPrefix(query);
    if (!rows.ok()) return rows.status();
    for (const store::Row& row : *rows) {
      absl::StatusOr<core::Secret> plain = state_->sealer_->Open(row);
      // Unreadable is as if it was never applied: the importer compares again.
      if (plain.ok()) {
        digests.push_back({.id = row.key, .value = std::string(plain->reveal())});
      }
    }
    if (rows->size() < query.limit) return digests;
    query.after = rows->back().key;
  }
}

absl::Status Engine::CheckLabels(const core::Document* before, const core::Document& after) const {
  return engine::CheckLabels(*state_->settings(), before, after);
}

absl::StatusOr<std::vector<store::SpentToken>> Engine::ReadSpentTokens() const {
  if (!state_->serving()) return absl::UnavailableError(ready().message());
  std::vector<store::SpentToken> tokens;
  store::PrefixQuery query{
      .kind = store::RowKind::kSpentToken, .prefix = "", .after = "", .limit = 1000};
  while (true) {
    absl::StatusOr<std::vector<store::Row>> rows = state_->store_.ReadPrefix(query);
    if (!rows.ok()) return rows.status();
    for (const store::Row& row : *rows) {
      absl::StatusOr<core::Secret> plain = state_->sealer_->Open(row);
      if (!plain.ok()) continue;
      absl::StatusOr<store::SpentToken> token = store::DecodeSpentToken(plain->reveal());
      if (token.ok()) tokens.push_back(*std::move(token));
    }
    if (rows->size() < query.limit) return tokens;
    query.after = rows->back().key;
  }
}

absl::StatusOr<std::optional<std::string>> Engine::ReadDigest(absl::string_view id) const {
  if (!state_->serving()) return absl::UnavailableError(ready().message());
  absl::StatusOr<store::Row> row = ReadRow(state_->store_, store::RowKind::kSourceDigest, id);
  if (absl::IsNotFound(row.status())) return std::optional<std::string>();
  if (!row.ok()) return row.status();
  absl::StatusOr<core::Secret> plain = state_->sealer_->Open(*row);
  if (!plain.ok()) return std::optional<std::string>();
  return std::optional<std::string>(std::string(plain->reveal()));
}

absl::StatusOr<std::optional<store::Tombstone>> Engine::ReadTombstone(absl::string_view id) const {
  if (!state_->serving()) return absl::UnavailableError(ready().message());
  absl::StatusOr<store::Row> row = ReadRow(state_->store_, store::RowKind::kTombstone, id);
  if (absl::IsNotFound(row.status())) return std::optional<store::Tombstone>();
  if (!row.ok()) return row.status();
  absl::StatusOr<core::Secret> plain = state_->sealer_->Open(*row);
  if (!plain.ok()) return std::optional<store::Tombstone>();
  absl::StatusOr<store::Tombstone> tombstone = store::DecodeTombstone(plain->reveal());
  if (!tombstone.ok() || tombstone->expires <= Now()) return std::optional<store::Tombstone>();
  return std::optional<store::Tombstone>(*std::move(tombstone));
}

// --- control plane ---

void Engine::Create(CreateRequest request, Done<core::CredentialView> done) {
  state_->Submit(NewCreate(std::move(request), std::move(done)));
}
void Engine::Update(UpdateRequest request, Done<core::CredentialView> done) {
  state_->Submit(NewUpdate(std::move(request), std::move(done)));
}
void Engine::Delete(DeleteRequest request, Done<DeleteResult> done) {
  state_->Submit(NewDelete(std::move(request), std::move(done)));
}
void Engine::SetIntent(IntentRequest request, Done<IntentResult> done) {
  state_->Submit(NewSetIntent(std::move(request), std::move(done)));
}
void Engine::Reset(ResetRequest request, Done<ResetResult> done) {
  state_->Submit(NewReset(std::move(request), std::move(done)));
}
void Engine::BatchUpdate(BatchRequest request, Done<BatchResult> done) {
  const bool dry_run = request.dry_run;
  std::unique_ptr<Work> work = NewBatch(std::move(request), state_->selections_, std::move(done));
  // A preview needs nothing from the store and must not queue behind it.
  if (dry_run && state_->serving()) return state_->RunInline(*work);
  state_->Submit(std::move(work));
}
void Engine::UndoBatch(UndoRequest request, Done<BatchResult> done) {
  state_->Submit(NewUndo(std::move(request), std::move(done)));
}
void Engine::ApplyImport(ImportRequest request, Done<ImportResult> done) {
  state_->Submit(NewImport(std::move(request), std::move(done)));
}
void Engine::SpendTokens(std::vector<store::SpentToken> tokens, Done<bool> done) {
  state_->Submit(NewSpend(std::move(tokens), std::move(done)));
}
void Engine::SetSessionsLive(bool live, Done<bool> done) {
  state_->Submit(NewSessionsLive(live, std::move(done)));
}

}  // namespace credbroker::engine
