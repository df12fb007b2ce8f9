#include "server/import/engine_fleet.h"

#include <future>
#include <utility>

namespace credbroker::import {

std::optional<Fleet::Present> EngineFleet::Find(absl::string_view id) const {
  std::optional<core::CredentialView> view = engine_.Get(id);
  if (!view) return std::nullopt;
  return Present{.document = std::move(view->document), .uid = view->uid};
}

void EngineFleet::Visit(absl::FunctionRef<void(const core::Document&)> visit) const {
  std::string after;
  do {
    after = engine_.Scan(after, 256, [&](const core::CredentialRow& row) {
      visit(*row.document);
      return true;
    });
  } while (!after.empty());
}

absl::StatusOr<std::shared_ptr<const core::SecretMaterial>> EngineFleet::ReadSecret(
    absl::string_view id) const {
  return engine_.ReadSecret(id);
}

absl::StatusOr<std::optional<Retired>> EngineFleet::ReadRetired(absl::string_view id) const {
  absl::StatusOr<std::optional<store::Tombstone>> tombstone = engine_.ReadTombstone(id);
  if (!tombstone.ok()) return tombstone.status();
  if (!*tombstone || (*tombstone)->document == nullptr) return std::optional<Retired>();
  store::Tombstone& was = **tombstone;
  return std::optional<Retired>(Retired{.uid = was.uid,
                                        .document = std::move(was.document),
                                        .secret = std::move(was.secret),
                                        .intent = was.intent.value_or(core::Intent()),
                                        .health = std::move(was.health),
                                        .deleted = was.deleted});
}

absl::StatusOr<std::optional<std::string>> EngineFleet::ReadDigest(absl::string_view id) const {
  return engine_.ReadDigest(id);
}

absl::StatusOr<std::vector<engine::SourceDigest>> EngineFleet::ReadDigests(
    absl::string_view parent) const {
  return engine_.ReadDigests(parent);
}

absl::StatusOr<std::vector<absl::Status>> EngineFleet::Apply(engine::ImportRequest request) {
  std::promise<absl::StatusOr<engine::ImportResult>> done;
  std::future<absl::StatusOr<engine::ImportResult>> result = done.get_future();
  engine_.ApplyImport(std::move(request), [&done](absl::StatusOr<engine::ImportResult> answer) {
    done.set_value(std::move(answer));
  });
  absl::StatusOr<engine::ImportResult> answer = result.get();
  if (!answer.ok()) return answer.status();
  return std::move(answer->rows);
}

}  // namespace credbroker::import
