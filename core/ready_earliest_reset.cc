#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "core/bitmap.h"
#include "core/ready_strategies.h"

namespace credbroker::core {
namespace {

class EarliestReset final : public ReadySet {
 public:
  void Insert(uint32_t position, const MemberFacts& facts) override {
    if (!Contains(position)) Put(position, facts);
  }

  void Erase(uint32_t position) override {
    unknown_.Clear(position);
    exhausted_.Clear(position);
    if (Known(position)) {
      known_.erase({reset_ns_[position], position});
      reset_ns_[position] = kUnknown;
    }
  }

  void Update(uint32_t position, const MemberFacts& facts) override {
    if (!Contains(position)) return;
    if (!facts.exhausted && Known(position) &&
        reset_ns_[position] == absl::ToUnixNanos(facts.reset_with_headroom)) {
      return;
    }
    Erase(position);
    Put(position, facts);
  }

  bool Contains(uint32_t position) const override {
    return Known(position) || unknown_.Test(position) || exhausted_.Test(position);
  }
  size_t size() const override { return known_.size() + unknown_.count() + exhausted_.count(); }

  std::optional<uint32_t> Pick(Admissible admissible, absl::Time now) override {
    // What a window had left before its reset says nothing about the time behind it.
    const int64_t now_ns = absl::ToUnixNanos(now);
    while (!known_.empty() && known_.begin()->first <= now_ns) {
      const uint32_t position = known_.begin()->second;
      Erase(position);
      unknown_.Set(position);
    }
    for (const auto& [reset_ns, position] : known_) {
      if (admissible(position)) return position;
    }
    const std::optional<uint32_t> unknown = unknown_.FindCyclic(cursor_, admissible);
    return unknown.has_value() ? unknown : exhausted_.FindCyclic(cursor_, admissible);
  }

  void Granted(uint32_t position) override {
    if (!Known(position)) cursor_ = position;
  }

  std::optional<uint32_t> Upcoming() const override {
    if (!known_.empty()) return std::nullopt;  // the same one again, as a rule
    return unknown_.NextCyclic(unknown_.NextCyclic(cursor_));
  }

  void Relabel(const IdOrder& order) override {
    const std::vector<uint32_t>& moved = order.moved();
    unknown_ = unknown_.Relabelled(moved);
    exhausted_ = exhausted_.Relabelled(moved);
    cursor_ = order.NewCursor(cursor_);
    absl::btree_set<std::pair<int64_t, uint32_t>> known;
    reset_ns_.assign(known_.empty() ? 0 : order.limit(), kUnknown);
    for (const auto& [reset_ns, position] : known_) {
      known.insert({reset_ns, moved[position]});
      reset_ns_[moved[position]] = reset_ns;
    }
    known_ = std::move(known);
  }

  void Inherit(const ReadySet& other) override {
    if (const auto* same = dynamic_cast<const EarliestReset*>(&other)) cursor_ = same->cursor_;
  }

 private:
  static constexpr int64_t kUnknown = INT64_MAX;

  bool Known(uint32_t position) const {
    return position < reset_ns_.size() && reset_ns_[position] != kUnknown;
  }

  void Put(uint32_t position, const MemberFacts& facts) {
    if (facts.exhausted) {
      exhausted_.Set(position);
      return;
    }
    const int64_t reset_ns = absl::ToUnixNanos(facts.reset_with_headroom);
    if (reset_ns == kUnknown) {
      unknown_.Set(position);
      return;
    }
    if (position >= reset_ns_.size()) reset_ns_.resize(position + size_t{1}, kUnknown);
    reset_ns_[position] = reset_ns;
    known_.insert({reset_ns, position});
  }

  absl::btree_set<std::pair<int64_t, uint32_t>> known_;
  std::vector<int64_t> reset_ns_;  // by position; kUnknown: not in known_
  SuccessorBitmap unknown_, exhausted_;
  std::optional<uint32_t> cursor_;  // the latest grant that round-robin made
};

}  // namespace

std::unique_ptr<ReadySet> NewEarliestReset() { return std::make_unique<EarliestReset>(); }

}  // namespace credbroker::core
