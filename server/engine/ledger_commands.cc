#include "server/engine/ledger_commands.h"

#include <optional>
#include <utility>

#include "server/engine/edit_work.h"

namespace credbroker::engine {
namespace {

using core::CredentialView;
using core::Edit;
using store::RowKind;

// The live-sessions marker.
class SessionsLiveWork : public EditWork {
 public:
  SessionsLiveWork(bool live, Done<bool> done)
      : EditWork(Caller{.actor = "broker"}, "SetSessionsLive"),
        live_(live),
        done_(std::move(done)) {
    AddKey("\nlive-sessions");
  }

 private:
  absl::StatusOr<std::optional<Edit>> MakeEdit(size_t, const CredentialView*, absl::Time) override {
    return std::optional<Edit>();
  }
  absl::Status BuildMore(const WorkContext& context, std::vector<store::Write>& writes) override {
    const store::LeaseMarker marker{
        .live = live_, .epoch = context.epoch, .since = context.pool->Now()};
    writes.push_back(context.sealer->Put(RowKind::kLeaseMarker, store::kLeaseMarkerKey,
                                         store::EncodeLeaseMarker(marker)));
    return absl::OkStatus();
  }
  void Answer(const WorkContext&, const absl::Status& status) override {
    if (!status.ok()) return std::move(done_)(status);
    std::move(done_)(live_);
  }

  const bool live_;
  Done<bool> done_;
};

class SpendWork : public EditWork {
 public:
  SpendWork(std::vector<store::SpentToken> tokens, Done<bool> done)
      : EditWork(Caller{.actor = "broker"}, "SpendTokens"),
        tokens_(std::move(tokens)),
        done_(std::move(done)) {
    AddKey("\nspent-tokens");
  }

 private:
  absl::StatusOr<std::optional<Edit>> MakeEdit(size_t, const CredentialView*, absl::Time) override {
    return std::optional<Edit>();
  }
  absl::Status BuildMore(const WorkContext& context, std::vector<store::Write>& writes) override {
    BuildSpent(context, tokens_, writes);
    return absl::OkStatus();
  }
  void Note(const WorkContext& context) override { NoteSpent(context, tokens_); }
  void Answer(const WorkContext&, const absl::Status& status) override {
    if (!status.ok()) return std::move(done_)(status);
    std::move(done_)(true);
  }

  const std::vector<store::SpentToken> tokens_;
  Done<bool> done_;
};

}  // namespace

void BuildSpent(const WorkContext& context, absl::Span<const store::SpentToken> tokens,
                std::vector<store::Write>& writes) {
  for (const store::SpentToken& token : tokens) {
    writes.push_back(context.sealer->Put(RowKind::kSpentToken, store::SpentTokenKey(token.hash),
                                         store::EncodeSpentToken(token)));
  }
}

void NoteSpent(const WorkContext& context, absl::Span<const store::SpentToken> tokens) {
  for (const store::SpentToken& token : tokens) context.ledger->AddSpent(token.hash, token.when);
}

std::unique_ptr<Work> NewSessionsLive(bool live, Done<bool> done) {
  return std::make_unique<SessionsLiveWork>(live, std::move(done));
}
std::unique_ptr<Work> NewSpend(std::vector<store::SpentToken> tokens, Done<bool> done) {
  return std::make_unique<SpendWork>(std::move(tokens), std::move(done));
}

}  // namespace credbroker::engine
