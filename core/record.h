// The pool's compact record of one credential, and the table of all of them. Thread-compatible.
#ifndef CREDBROKER_CORE_RECORD_H_
#define CREDBROKER_CORE_RECORD_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
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
  std::string id;
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
  uint64_t last_grant = 0;

  std::shared_ptr<const Document> document;
  std::shared_ptr<const Intent> intent;      // null: enabled, never touched
  std::shared_ptr<const Material> material;  // null: no usable secret

  AuthHealth auth = AuthHealth::kOk;
  Cause policy_cause = Cause::kNone;
  uint16_t consecutive_403 = 0;
  uint16_t unauthorized_streak = 0;
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
  bool enabled() const { return intent == nullptr || intent->enabled; }
};

class RecordTable {
 public:
  Slot Add(absl::string_view id, Uid uid);  // REQUIRES: neither is present
  void Remove(Slot slot);
  Record& at(Slot slot) { return records_[slot.number()]; }
  const Record& at(Slot slot) const { return records_[slot.number()]; }
  Slot Find(absl::string_view id) const;  // kNoSlot
  Slot Find(Uid uid) const;               // kNoSlot
  size_t size() const { return by_id_.size(); }
  uint32_t limit() const { return records_.size(); }
  bool live(Slot slot) const { return records_[slot.number()].uid.number() != 0; }
  const absl::btree_map<absl::string_view, Slot>& by_id() const { return by_id_; }

 private:
  Slab<Record> records_;
  std::vector<Slot> free_;
  absl::btree_map<absl::string_view, Slot> by_id_;  // keys: Record::id
  absl::flat_hash_map<Uid, Slot> by_uid_;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_RECORD_H_
