// The pool's compact record of one credential, and the table of all of them. Thread-compatible.
#ifndef CREDBROKER_CORE_RECORD_H_
#define CREDBROKER_CORE_RECORD_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/availability.h"
#include "core/breaker.h"
#include "core/credential.h"
#include "core/history.h"
#include "core/ids.h"
#include "core/material.h"
#include "core/policy.h"
#include "core/slab.h"

namespace credbroker::core {

inline constexpr uint32_t kNoCell = UINT32_MAX;

// What the indexes know of a credential (or of a (credential, model)): derived, never stored.
struct Standing {
  State state = State::kDisabled;
  Cause cause = Cause::kNone;  // kNone: fully open and below its cap
  bool ready = false;          // fully open, below its cap, weight > 0: strategies may pick it
  bool open = false;           // neither blocked, half-open nor disabled (it may be busy)
  bool half_open = false;
  bool probe_ready = false;        // half-open, no probe out, its time has come
  int64_t returns_ns = INT64_MAX;  // when it may come back by itself
  int64_t probed_ns = INT64_MIN;   // latest probe
  friend bool operator==(const Standing&, const Standing&) = default;
};

struct Record {
  Uid uid;  // number 0: the slot is free
  GroupId group;
  ProviderId provider;
  uint32_t position = 0;  // in its group's IdOrder
  uint32_t rules = 0;     // in RuleTable
  EgressId egress;        // 0: direct
  uint32_t first_lease = kNoCell;
  uint32_t in_flight = 0;  // length of that list
  int32_t cap = 0;
  int32_t model_cap = 0;
  uint32_t session_leases = 0;  // how many of in_flight are sessions'
  uint64_t last_grant = 0;      // of PoolState::NextGrant; 0: never

  std::shared_ptr<const Document> document;
  std::shared_ptr<const Intent> intent;      // null: enabled, never touched
  std::shared_ptr<const Material> material;  // null: no usable secret

  AuthHealth auth = AuthHealth::kOk;
  Cause policy_cause = Cause::kNone;
  absl::Time policy_since = absl::UnixEpoch();
  std::vector<ScopeRecords> scopes;  // credential scope first where it exists
  std::unique_ptr<std::vector<RateWindow>> windows;

  BreakerMember provider_reports, egress_reports;
  Standing standing;
  History history;

  ScopeRecords* Find(ModelId model) {
    for (ScopeRecords& scope : scopes) {
      if (scope.model() == model) return &scope;
    }
    return nullptr;
  }
  const ScopeRecords* Find(ModelId model) const { return const_cast<Record*>(this)->Find(model); }
  absl::string_view id() const { return document->id; }
  bool enabled() const { return intent == nullptr || intent->enabled; }
};

class RecordTable {
 public:
  RecordTable() : by_id_(ById{this}) {}
  RecordTable(const RecordTable&) = delete;
  RecordTable& operator=(const RecordTable&) = delete;

  // REQUIRES: neither its id nor `uid` is present.
  Slot Add(std::shared_ptr<const Document> document, Uid uid);
  void Remove(Slot slot);
  Record& at(Slot slot) { return records_[slot.number()]; }
  const Record& at(Slot slot) const { return records_[slot.number()]; }
  Slot Find(absl::string_view id) const;  // kNoSlot
  Slot Find(Uid uid) const;               // kNoSlot
  size_t size() const { return by_id_.size(); }
  uint32_t limit() const { return records_.size(); }
  bool live(Slot slot) const { return records_[slot.number()].uid.number() != 0; }
  // In the order of ids, those behind `after` (all where it is empty) until `visit` returns false.
  // Returns whether it came to the end.
  bool ForEachAfter(absl::string_view after, absl::FunctionRef<bool(const Record&)> visit) const;

 private:
  // By the ids of their documents: a set of slots takes a sixth of a map of names.
  struct ById {
    using is_transparent = void;
    const RecordTable* table;
    absl::string_view IdOf(Slot slot) const { return table->at(slot).id(); }
    bool operator()(Slot a, Slot b) const { return a != b && IdOf(a) < IdOf(b); }
    bool operator()(Slot a, absl::string_view b) const { return IdOf(a) < b; }
    bool operator()(absl::string_view a, Slot b) const { return a < IdOf(b); }
  };

  Slab<Record> records_;
  std::vector<Slot> free_;
  absl::btree_set<Slot, ById> by_id_;
  absl::flat_hash_map<Uid, Slot> by_uid_;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_RECORD_H_
