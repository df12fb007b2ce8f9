// The engine as importers see it (fleet.h). Thread-safe, as the engine is.
#ifndef CREDBROKER_SERVER_IMPORT_ENGINE_FLEET_H_
#define CREDBROKER_SERVER_IMPORT_ENGINE_FLEET_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/engine/engine.h"
#include "server/import/fleet.h"

namespace credbroker::import {

class EngineFleet final : public Fleet {
 public:
  // `engine` outlives it. `salt`: the id of the store.
  EngineFleet(engine::Engine& engine, std::string salt) : engine_(engine), salt_(std::move(salt)) {}

  absl::Time Now() const override { return engine_.Now(); }
  std::string salt() const override { return salt_; }
  std::optional<Present> Find(absl::string_view id) const override;
  void Visit(absl::FunctionRef<void(const core::Document&)> visit) const override;
  absl::StatusOr<std::shared_ptr<const core::SecretMaterial>> ReadSecret(
      absl::string_view id) const override;
  absl::StatusOr<std::optional<Retired>> ReadRetired(absl::string_view id) const override;
  absl::StatusOr<std::optional<std::string>> ReadDigest(absl::string_view id) const override;
  absl::StatusOr<std::vector<engine::SourceDigest>> ReadDigests(
      absl::string_view parent) const override;
  absl::Status CheckLabels(const core::Document* before,
                           const core::Document& after) const override {
    return engine_.CheckLabels(before, after);
  }
  absl::StatusOr<std::vector<store::SpentToken>> ReadSpentTokens() const override {
    return engine_.ReadSpentTokens();
  }
  absl::StatusOr<std::vector<absl::Status>> Apply(engine::ImportRequest request) override;

 private:
  engine::Engine& engine_;
  const std::string salt_;
};

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_ENGINE_FLEET_H_
