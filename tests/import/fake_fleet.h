// A fleet in memory with the rules of the engine that importers rely on: revisions, tombstones,
// merged secrets, no record of a refused row. Thread-compatible.
#ifndef CREDBROKER_TESTS_IMPORT_FAKE_FLEET_H_
#define CREDBROKER_TESTS_IMPORT_FAKE_FLEET_H_

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/engine/commands.h"
#include "server/import/fleet.h"

namespace credbroker::import {

class FakeFleet final : public Fleet {
 public:
  struct Row {
    std::shared_ptr<const core::Document> document;
    std::shared_ptr<const core::SecretMaterial> secret;
    core::Intent intent;
    core::Uid uid;
  };

  absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  absl::Status store = absl::OkStatus();  // what Apply answers instead
  std::map<std::string, Row> rows;
  std::map<std::string, Retired> tombstones;
  std::map<std::string, std::string> digests;
  std::set<std::string> undeclared;  // label keys
  std::vector<store::SpentToken> spent;
  int applies = 0;
  size_t edits = 0, largest = 0;
  std::function<void()> before_apply;  // once

  absl::Time Now() const override { return now; }
  std::string salt() const override { return "a salt"; }
  std::optional<Present> Find(absl::string_view id) const override {
    const auto at = rows.find(std::string(id));
    if (at == rows.end()) return std::nullopt;
    return Present{.document = at->second.document, .uid = at->second.uid};
  }
  void Visit(absl::FunctionRef<void(const core::Document&)> visit) const override {
    for (const auto& [id, row] : rows) visit(*row.document);
  }
  absl::StatusOr<std::shared_ptr<const core::SecretMaterial>> ReadSecret(
      absl::string_view id) const override {
    const auto at = rows.find(std::string(id));
    if (at == rows.end() || at->second.secret == nullptr) return absl::NotFoundError("no secret");
    return at->second.secret;
  }
  absl::StatusOr<std::optional<Retired>> ReadRetired(absl::string_view id) const override {
    const auto at = tombstones.find(std::string(id));
    if (at == tombstones.end() || now - at->second.deleted >= absl::Hours(24)) {
      return std::optional<Retired>();
    }
    return std::optional<Retired>(at->second);
  }
  absl::StatusOr<std::optional<std::string>> ReadDigest(absl::string_view id) const override {
    const auto at = digests.find(std::string(id));
    if (at == digests.end()) return std::optional<std::string>();
    return std::optional<std::string>(at->second);
  }
  absl::StatusOr<std::vector<engine::SourceDigest>> ReadDigests(
      absl::string_view parent) const override {
    std::vector<engine::SourceDigest> found;
    for (const auto& [id, value] : digests) {
      if (absl::StartsWith(id, absl::StrCat(parent, "/"))) found.push_back({id, value});
    }
    return found;
  }
  absl::Status CheckLabels(const core::Document*, const core::Document& after) const override {
    for (const auto& [key, value] : after.labels) {
      if (undeclared.contains(key)) return absl::InvalidArgumentError("labels." + key + ": no");
    }
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<store::SpentToken>> ReadSpentTokens() const override { return spent; }
  absl::StatusOr<std::vector<absl::Status>> Apply(engine::ImportRequest request) override {
    if (before_apply) std::exchange(before_apply, nullptr)();
    if (!store.ok()) return store;
    ++applies;
    edits += request.edits.size();
    largest = std::max(largest, request.edits.size());
    std::vector<absl::Status> result;
    std::map<std::string, bool> refused;
    for (const core::Edit& edit : request.edits) {
      if (refused.contains(edit.id)) return absl::InvalidArgumentError("an id twice");
      result.push_back(One(edit));
      refused[edit.id] = !result.back().ok();
    }
    std::map<std::string, bool> named;
    for (const engine::SourceDigest& digest : request.digests) {
      if (named[digest.id]) return absl::InvalidArgumentError("a record twice");
      named[digest.id] = true;
      if (refused.contains(digest.id) && refused[digest.id]) continue;
      if (digest.value) {
        digests[digest.id] = *digest.value;
      } else {
        digests.erase(digest.id);
      }
    }
    return result;
  }

  const core::Document& document(const std::string& id) const { return *rows.at(id).document; }
  std::string secret(const std::string& id, core::Secret core::SecretMaterial::*field) const {
    return std::string(((*rows.at(id).secret).*field).reveal());
  }
  // An operator's edit.
  template <typename F>
  void Change(const std::string& id, F change) {
    auto next = std::make_shared<core::Document>(document(id));
    change(*next);
    ++next->revision;
    rows.at(id).document = std::move(next);
  }
  void Delete(const std::string& id) {
    Row& row = rows.at(id);
    tombstones[id] = {row.uid, row.document, row.secret, row.intent, nullptr, now};
    rows.erase(id);
  }

 private:
  absl::Status One(const core::Edit& edit) {
    const auto at = rows.find(edit.id);
    if (edit.op == core::Edit::Op::kCreate) {
      if (at != rows.end()) return absl::AlreadyExistsError("exists");
      Row row{.document = edit.document,
              .secret = edit.secret,
              .intent = edit.intent.value_or(core::Intent()),
              .uid = edit.revive_uid.value_or(core::Uid(next_uid_++))};
      rows.emplace(edit.id, std::move(row));
      return absl::OkStatus();
    }
    if (at == rows.end()) return absl::NotFoundError("no credential");
    Row& row = at->second;
    if ((edit.expect_uid && *edit.expect_uid != row.uid) ||
        (edit.expect_revision && *edit.expect_revision != row.document->revision)) {
      return absl::AbortedError("etag");
    }
    if (edit.op == core::Edit::Op::kDelete) {
      Delete(edit.id);
      return absl::OkStatus();
    }
    if (edit.document != nullptr) {
      auto next = std::make_shared<core::Document>(*edit.document);
      next->revision = row.document->revision + 1;
      row.document = std::move(next);
    }
    if (edit.secret != nullptr) row.secret = engine::MergeSecrets(row.secret.get(), *edit.secret);
    return absl::OkStatus();
  }
  uint64_t next_uid_ = 1;
};

}  // namespace credbroker::import

#endif  // CREDBROKER_TESTS_IMPORT_FAKE_FLEET_H_
