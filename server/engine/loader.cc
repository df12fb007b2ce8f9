#include "server/engine/loader.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/material.h"
#include "core/provider_builtin.h"

namespace credbroker::engine {
namespace {

using store::Row;
using store::RowKind;

constexpr size_t kNamedQuarantined = 16;

// Half of the indexes on a second thread: unsealing is most of a start.
void InParallel(size_t count, const std::function<void(size_t)>& each) {
  const size_t half = count < 64 ? count : count / 2;
  std::thread second([&] {
    for (size_t index = half; index < count; ++index) each(index);
  });
  for (size_t index = 0; index < half; ++index) each(index);
  second.join();
}

class Loading {
 public:
  Loading(const store::RecordSealer& sealer, const core::Settings& settings, Loaded& out)
      : sealer_(sealer), out_(out) {
    for (const core::ProviderSettings& provider : settings.providers) {
      providers_[provider.name] = &provider;
    }
  }

  absl::Status Take(Row row) {
    ++out_.stats.rows;
    if (row.kind == RowKind::kHistory) {  // only numbers are needed; the lines stay in the store
      const auto name = store::ParseHistoryKey(row.key);
      if (name) {
        uint64_t& number = history_[{std::string(name->id), name->uid}];
        number = std::max(number, name->number);
      }
      return absl::OkStatus();
    }
    rows_[row.kind].push_back(std::move(row));
    return absl::OkStatus();
  }

  // The last number may be lost: goes far ahead of whatever was given out.
  void JumpAhead() { jump_ = true; }

  absl::Status Finish() {
    if (absl::Status status = LoadMeta(); !status.ok()) return status;
    LoadDocuments();
    LoadIntents();
    LoadHealth();
    LoadSecrets();
    LoadRest();
    if (opened_ == 0 && failed_ > 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          "sealed: none of the store's rows opens with this keyring (", first_failure_, ")"));
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<core::Secret> Open(const Row& row, absl::string_view binding = "") const {
    return sealer_.Open(row, binding);
  }

  void Quarantine(const Row& row, const absl::Status& why) {
    ++failed_;
    ++out_.stats.quarantined;
    std::string line = absl::StrCat(store::RowKindName(row.kind), " row '",
                                    absl::CHexEscape(row.key), "': ", why.message());
    if (first_failure_.empty()) first_failure_ = line;
    if (out_.stats.quarantine.size() < kNamedQuarantined) {
      out_.stats.quarantine.push_back(std::move(line));
    }
  }

  // Opens and decodes all rows of a kind side by side, then takes them in key order.
  template <typename T>
  void Each(RowKind kind, const std::function<absl::StatusOr<T>(const Row&)>& decode,
            const std::function<absl::Status(const Row&, T)>& take) {
    std::vector<Row>& rows = rows_[kind];
    std::vector<absl::StatusOr<T>> decoded(rows.size(), absl::UnknownError("not decoded"));
    InParallel(rows.size(), [&](size_t index) { decoded[index] = decode(rows[index]); });
    for (size_t index = 0; index < rows.size(); ++index) {
      absl::Status status = decoded[index].status();
      if (status.ok()) {
        ++opened_;
        status = take(rows[index], *std::move(decoded[index]));
      }
      if (!status.ok()) Quarantine(rows[index], status);
    }
    rows = {};
  }

  template <typename T>
  std::function<absl::StatusOr<T>(const Row&)> With(
      absl::StatusOr<T> (*decode)(absl::string_view)) const {
    return [this, decode](const Row& row) -> absl::StatusOr<T> {
      absl::StatusOr<core::Secret> plain = Open(row);
      if (!plain.ok()) return plain.status();
      return decode(plain->reveal());
    };
  }

  absl::Status LoadMeta() {
    for (const Row& row : rows_[RowKind::kMeta]) {
      absl::StatusOr<store::Meta> meta = With(&store::DecodeMeta)(row);
      if (absl::IsUnimplemented(meta.status())) return meta.status();
      if (!meta.ok()) {
        Quarantine(row, meta.status());
        out_.meta.emplace();
        JumpAhead();
        continue;
      }
      ++opened_;
      out_.meta = *std::move(meta);
      SeeUid(out_.meta->last_uid);
    }
    return absl::OkStatus();
  }

  void SeeUid(core::Uid uid) {
    if (uid.number() >= out_.first_free_uid.number()) {
      out_.first_free_uid = core::Uid(uid.number() + 1);
    }
  }

  core::StoredCredential* Find(absl::string_view id, core::Uid uid) {
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) return nullptr;
    core::StoredCredential& credential = out_.credentials[found->second];
    return uid.number() == 0 || credential.uid == uid ? &credential : nullptr;
  }

  void LoadDocuments() {
    for (const Row& row : rows_[RowKind::kDocument]) out_.quarantined.insert(row.key);
    out_.credentials.reserve(rows_[RowKind::kDocument].size());
    Each<store::DocumentEntry>(RowKind::kDocument, With(&store::DecodeDocument),
                               [&](const Row& row, store::DocumentEntry entry) -> absl::Status {
                                 if (entry.document->id != row.key)
                                   return absl::DataLossError("its id is another one");
                                 out_.quarantined.erase(row.key);
                                 SeeUid(entry.uid);
                                 by_id_[row.key] = out_.credentials.size();
                                 core::StoredCredential credential;
                                 credential.uid = entry.uid;
                                 credential.document = std::move(entry.document);
                                 if (entry.has_intent) expects_intent_.insert(row.key);
                                 const auto lines = history_.find({row.key, entry.uid});
                                 if (lines != history_.end())
                                   credential.history_number = lines->second;
                                 out_.credentials.push_back(std::move(credential));
                                 return absl::OkStatus();
                               });
    // Its table was as large as the fleet.
    out_.quarantined =
        absl::flat_hash_set<std::string>(out_.quarantined.begin(), out_.quarantined.end());
    if (jump_) out_.first_free_uid = core::Uid(out_.first_free_uid.number() + (1ull << 32));
  }

  void LoadIntents() {
    absl::flat_hash_set<std::string> unread = std::move(expects_intent_);
    for (const Row& row : rows_[RowKind::kIntent]) unread.insert(row.key);
    Each<store::IntentEntry>(RowKind::kIntent, With(&store::DecodeIntent),
                             [&](const Row& row, store::IntentEntry entry) -> absl::Status {
                               unread.erase(row.key);
                               if (core::StoredCredential* credential = Find(row.key, entry.uid)) {
                                 credential->intent = std::move(entry.intent);
                               }
                               return absl::OkStatus();
                             });
    // Unreadable, or lost with a page of the file: it may have said "disabled", and nothing but an
    // operator may undo that.
    for (const std::string& id : unread) {
      if (core::StoredCredential* credential = Find(id, core::Uid())) {
        credential->intent = core::Intent{
            .enabled = false, .actor = "broker", .reason = "the stored intent could not be read"};
      }
    }
  }

  void LoadHealth() {
    using Health = std::shared_ptr<const core::HealthRecord>;
    Each<Health>(RowKind::kHealth, With(&store::DecodeHealth),
                 [&](const Row& row, Health health) -> absl::Status {
                   if (core::StoredCredential* credential = Find(row.key, health->uid)) {
                     credential->health = std::move(health);
                   }
                   return absl::OkStatus();
                 });
  }

  void LoadSecrets() {
    using Material = std::shared_ptr<const core::Material>;
    Each<Material>(
        RowKind::kSecret,
        [&](const Row& row) -> absl::StatusOr<Material> {
          const core::StoredCredential* credential = Find(row.key, core::Uid());
          if (credential == nullptr) return absl::DataLossError("there is no readable document");
          const core::Document& document = *credential->document;
          absl::StatusOr<core::Secret> plain = Open(row, store::SecretBinding(document));
          if (!plain.ok()) return plain.status();
          absl::StatusOr<store::SecretEntry> entry = store::DecodeSecret(plain->reveal());
          if (!entry.ok()) return entry.status();
          if (entry->uid != credential->uid) return absl::DataLossError("of another incarnation");
          const auto provider = providers_.find(document.provider);
          return core::RenderMaterial(document, entry->uid, *entry->secret,
                                      provider == providers_.end()
                                          ? core::BuiltinProvider(document.provider)
                                          : *provider->second);
        },
        [&](const Row& row, Material material) -> absl::Status {
          Find(row.key, core::Uid())->material = std::move(material);
          return absl::OkStatus();
        });
  }

  void LoadRest() {
    Each<core::BackoffRecord>(RowKind::kBackoff, With(&store::DecodeBackoff),
                              [&](const Row&, core::BackoffRecord backoff) -> absl::Status {
                                out_.backoffs.push_back(std::move(backoff));
                                return absl::OkStatus();
                              });
    Each<store::BatchPart>(RowKind::kBatch, With(&store::DecodeBatch),
                           [&](const Row&, const store::BatchPart& part) -> absl::Status {
                             out_.ledger.AddBatch(part.batch_id,
                                                  {.time = part.time, .parts = part.part + 1});
                             return absl::OkStatus();
                           });
    Each<store::Tombstone>(RowKind::kTombstone, With(&store::DecodeTombstone),
                           [&](const Row& row, const store::Tombstone& stone) -> absl::Status {
                             SeeUid(stone.uid);
                             out_.ledger.AddTombstone(row.key,
                                                      {.uid = stone.uid, .deleted = stone.deleted});
                             return absl::OkStatus();
                           });
    Each<store::RequestEntry>(RowKind::kRequestId, With(&store::DecodeRequest),
                              [&](const Row&, store::RequestEntry entry) -> absl::Status {
                                out_.ledger.AddRequest(std::move(entry));
                                return absl::OkStatus();
                              });
    Each<store::SpentToken>(RowKind::kSpentToken, With(&store::DecodeSpentToken),
                            [&](const Row&, const store::SpentToken& token) -> absl::Status {
                              out_.ledger.AddSpent(token.hash, token.when);
                              return absl::OkStatus();
                            });
    Each<store::LeaseMarker>(RowKind::kLeaseMarker, With(&store::DecodeLeaseMarker),
                             [&](const Row&, store::LeaseMarker marker) -> absl::Status {
                               out_.marker = marker;
                               return absl::OkStatus();
                             });
  }

  const store::RecordSealer& sealer_;
  Loaded& out_;
  absl::flat_hash_map<std::string, const core::ProviderSettings*> providers_;
  std::map<RowKind, std::vector<Row>> rows_;
  absl::flat_hash_map<std::pair<std::string, core::Uid>, uint64_t> history_;
  absl::flat_hash_map<std::string, size_t> by_id_;
  absl::flat_hash_set<std::string>
      expects_intent_;  // ids whose document says there is an intent row
  uint64_t opened_ = 0, failed_ = 0;
  std::string first_failure_;
  bool jump_ = false;
};

}  // namespace

absl::StatusOr<Loaded> LoadStore(store::Store& store, const store::RecordSealer& sealer,
                                 const core::Settings& settings) {
  const auto start = std::chrono::steady_clock::now();
  Loaded loaded;
  Loading loading(sealer, settings, loaded);
  absl::StatusOr<store::LoadReport> report =
      store.Load([&](Row row) { return loading.Take(std::move(row)); });
  if (!report.ok()) return report.status();
  if (!report->damage.empty()) loading.JumpAhead();
  loaded.stats.damaged_file = report->damaged_file;
  if (absl::Status status = loading.Finish(); !status.ok()) return status;
  loaded.stats.credentials = loaded.credentials.size();
  loaded.stats.quarantined += report->damaged;
  for (std::string& damage : report->damage) {
    if (loaded.stats.quarantine.size() >= kNamedQuarantined) break;
    loaded.stats.quarantine.push_back(std::move(damage));
  }
  loaded.stats.took = absl::FromChrono(std::chrono::steady_clock::now() - start);
  return loaded;
}

}  // namespace credbroker::engine
