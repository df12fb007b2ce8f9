// The indexes of one group. A request's shape (providers, kind, labels) and model name choose one
// index; model names that nobody in the shape treats differently share one, so an invented name
// grows nothing. A model-scoped cooldown is an overlay: a small set of members held back for that
// model, and an index of its own (dedicated) once the set is large. Thread-compatible.
#ifndef CREDBROKER_CORE_GROUP_INDEX_H_
#define CREDBROKER_CORE_GROUP_INDEX_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/id_order.h"
#include "core/index_view.h"
#include "core/interner.h"
#include "core/record.h"
#include "core/rule_table.h"
#include "core/settings.h"
#include "core/view.h"

namespace credbroker::core {

using Models = Interner<ModelId>;
using Labels = absl::Span<const std::pair<absl::string_view, absl::string_view>>;

// Members held back for one model, by slot: what that model alone says of them.
using Overlay = absl::flat_hash_map<Slot, Standing>;

// The standing of a credential for a model: the worse of its own and the model's.
Standing Combine(const Standing& credential, const Standing& model);
// What strategies read from a record.
MemberFacts FactsOf(const Record& record);

class GroupIndex {
 public:
  GroupIndex(GroupId id, GroupSettings settings, RecordTable* records, RuleTable* rules,
             Models* models);

  GroupId id() const { return id_; }
  const GroupSettings& settings() const { return settings_; }
  // Drops all indexes (strategy may have changed); they are made again on demand.
  void Configure(GroupSettings settings);

  // The record's provider, rules, document and standing are set; its position is set here.
  void Add(Slot slot);
  void Remove(Slot slot);
  void Update(Slot slot, const Standing& before);  // record.standing is the new one
  void Touch(Slot slot) {                          // a grant or its end
    if (settings_.strategy == Strategy::kLeastInFlight ||
        settings_.strategy == Strategy::kEarliestReset) {
      TellStrategies(slot);
    }
  }
  // What `model` alone says of a member; nullptr: nothing (any more).
  void SetModel(Slot slot, ModelId model, const Standing* standing);
  void EraseModels(Slot slot);

  struct Demand {
    IndexView* view = nullptr;
    absl::string_view model;           // canonical; may be empty
    const Overlay* overlay = nullptr;  // members to turn down; only where `uniform`
    bool uniform = true;               // every member's upstream name is `model`
    bool dedicated = false;            // the index already minds the model's overlay
  };
  enum class Miss : uint8_t { kNone, kNoProvider, kUnserved, kNoMatch };
  // `providers` ascending. Makes the index on first use: O(members).
  Miss Resolve(absl::Span<const ProviderId> providers, std::optional<Kind> kind, Labels labels,
               absl::string_view model, Demand* demand);

  // The overlay standing of a member for its own upstream name of `demand.model`; nullptr: open.
  const Standing* ModelStanding(const Demand& demand, Slot slot) const;
  const Standing* ModelStanding(Slot slot, ModelId model) const;
  // Members of the demand's index that its model holds back and the index does not mind itself.
  void ForEachHeld(const Demand& demand,
                   absl::FunctionRef<void(Slot, const Standing&)> visit) const;

  // Members of the demand's index that are neither blocked nor disabled, for `upstream` too.
  uint32_t Unblocked(const Demand& demand, ModelId upstream) const;
  bool IsUnblocked(const Demand& demand, ModelId upstream, Slot slot) const;

  const IdOrder& order() const { return order_; }
  Slot SlotAt(uint32_t position) const { return order_.SlotAt(position); }
  bool HasProvider(ProviderId provider) const;
  // Made on first use. On the hot path: one array access.
  GroupProviderStats& stats(ProviderId provider) {
    if (provider.number() >= stats_of_.size() || stats_of_[provider.number()] == nullptr) {
      MakeStats(provider);
    }
    return *stats_of_[provider.number()];
  }
  const std::map<ProviderId, std::unique_ptr<GroupProviderStats>>& all_stats() const {
    return stats_;
  }
  // The earliest return of a waiting member of the provider, as known to its index; INT64_MAX:
  // none, or nobody asked for the provider yet.
  int64_t NextReturn(ProviderId provider) const;
  size_t size() const { return order_.size(); }
  size_t indexes() const;
  void CheckInvariants() const;

 private:
  struct NameEntry {
    IndexView* view = nullptr;  // null: served by nobody
    bool uniform = true;
  };
  struct Shape {
    std::string key;
    std::vector<ProviderId> providers;
    std::optional<Kind> kind;
    std::vector<std::pair<std::string, std::string>> labels;
    uint32_t members = 0;
    std::map<uint32_t, uint32_t> rules;  // rule set -> members with it
    std::unique_ptr<IndexView> all;      // every member
    absl::flat_hash_map<std::string, NameEntry> names;
    absl::flat_hash_map<std::string, std::unique_ptr<IndexView>> by_signature;
    // Kept when the rules of the shape change, so that cursors are inherited.
    absl::flat_hash_map<std::string, NameEntry> old_names;
    absl::flat_hash_map<std::string, std::unique_ptr<IndexView>> old_views;
    absl::flat_hash_map<std::string, std::unique_ptr<IndexView>> dedicated;  // by model name
    uint64_t used = 0;
  };
  static constexpr size_t kMaxShapes = 256;
  static constexpr size_t kMaxNames = 4096;  // cached for each shape
  static constexpr size_t kDedicatedAt = 64;
  static constexpr size_t kMaxDedicated = 64;

  static std::string LabelKey(absl::string_view name, absl::string_view value);
  bool Fits(const Shape& shape, const Record& record) const;
  bool Serves(const IndexView& view, const Shape& shape, const Record& record) const;
  MemberState StateOf(const Record& record) const;
  MemberState StateOf(const Record& record, absl::string_view model) const;
  Shape* ShapeFor(absl::Span<const ProviderId> providers, std::optional<Kind> kind, Labels labels);
  std::unique_ptr<Shape> MakeShape(absl::Span<const ProviderId> providers, std::optional<Kind> kind,
                                   Labels labels);
  void RegisterShape(Shape* shape);
  void DropShape(const std::string& key);
  NameEntry NameFor(Shape& shape, absl::string_view model);
  IndexView* DedicatedFor(Shape& shape, const IndexView& base, absl::string_view model);
  void RulesChanged(Shape& shape);
  template <typename Visit>
  void ForEachView(ProviderId provider, Visit visit);
  void AddToShape(Shape& shape, const Record& record);
  void RemoveFromShape(Shape& shape, const Record& record);
  void Relabelled();
  void MakeStats(ProviderId provider);
  void TellStrategies(Slot slot);

  GroupId id_;
  GroupSettings settings_;
  RecordTable* records_;
  RuleTable* rules_;
  Models* models_;
  IdOrder order_;
  absl::flat_hash_map<std::string, std::unique_ptr<Shape>> shapes_;
  std::vector<Shape*> single_;  // by provider: no kind, no labels
  absl::flat_hash_map<ProviderId, std::vector<Shape*>> shapes_of_;  // those naming the provider
  absl::flat_hash_map<ModelId, Overlay> overlays_;
  absl::flat_hash_map<std::string, uint32_t> label_counts_;  // "key=value" -> members
  absl::flat_hash_map<ProviderId, uint32_t> provider_counts_;
  std::map<ProviderId, std::unique_ptr<GroupProviderStats>> stats_;
  std::vector<GroupProviderStats*> stats_of_;  // by provider
  uint64_t uses_ = 0;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_GROUP_INDEX_H_
