#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/numeric/int128.h"
#include "core/fault.h"
#include "core/ready_strategies.h"

namespace credbroker::core {
namespace {

using Pass = absl::uint128;  // below 2^96

// A member's pass rises by kUnit / weight with each grant. A multiple of 1 .. 16, so that small
// weights divide it without rest; 96 bits of pass then last for 2^48 grants of weight 1.
constexpr uint64_t kUnit = uint64_t{720720} << 28;
constexpr int64_t kMaxWeight = 1'000'000;

// Stride scheduling: the smallest pass is next. The virtual time is the highest pass that was
// granted from; nobody enters below it, so absence earns nothing, and nobody's debt is forgiven.
class Weighted final : public ReadySet {
 public:
  void Insert(uint32_t position, const MemberFacts& facts) override {
    if (facts.weight <= 0 || Contains(position)) return;
    if (position >= shares_.size()) shares_.resize(position + size_t{1});
    Share& share = shares_[position];
    Reweigh(share, static_cast<uint32_t>(std::min(facts.weight, kMaxWeight)));
    if (!SeededFault("weighted_credit")) share.set_pass(std::max(share.pass(), virtual_time_));
    share.present = 1;
    Link(share.pass(), position);
  }

  void Erase(uint32_t position) override {
    if (!Contains(position)) return;
    Unlink(shares_[position].pass(), position);
    shares_[position].present = 0;
  }

  void Update(uint32_t position, const MemberFacts& facts) override {
    if (!Contains(position)) return;
    if (facts.weight <= 0) {
      Erase(position);
      return;
    }
    Share& share = shares_[position];
    const auto weight = static_cast<uint32_t>(std::min(facts.weight, kMaxWeight));
    if (weight == share.weight) return;
    const Pass before = share.pass();
    Reweigh(share, weight);
    Rekey(position, before);
  }

  bool Contains(uint32_t position) const override {
    return position < shares_.size() && shares_[position].present != 0;
  }
  size_t size() const override { return size_; }

  std::optional<uint32_t> Pick(Admissible admissible, absl::Time /*now*/) override {
    turned_down_.clear();
    for (const auto& [pass, positions] : order_) {
      for (const uint32_t position : positions) {
        if (admissible(position)) return position;
        turned_down_.push_back(position);
      }
    }
    return std::nullopt;
  }

  void Granted(uint32_t position) override {
    if (position >= shares_.size() || shares_[position].weight == 0) return;
    Share& share = shares_[position];
    const Pass before = share.pass();
    virtual_time_ = std::max(virtual_time_, before);
    share.set_pass(before + kUnit / share.weight);
    if (share.present != 0) Rekey(position, before);
    ForgetCredit();
  }

  std::optional<uint32_t> Upcoming() const override {
    auto pass = order_.begin();
    if (pass == order_.end()) return std::nullopt;
    if (pass->second.size() > 1) return *std::next(pass->second.begin());
    if (++pass == order_.end()) return std::nullopt;
    return *pass->second.begin();
  }

  void Relabel(const IdOrder& order) override {
    const std::vector<uint32_t>& moved = order.moved();
    std::vector<Share> shares(order.limit());
    Clear();
    turned_down_.clear();
    for (uint32_t from = 0; from < shares_.size() && from < moved.size(); ++from) {
      const uint32_t to = moved[from];
      if (to == UINT32_MAX) continue;
      if (to >= shares.size()) shares.resize(to + size_t{1});
      shares[to] = shares_[from];
      if (shares[to].present != 0) Link(shares[to].pass(), to);
    }
    shares_ = std::move(shares);
  }

  void Inherit(const ReadySet& other) override {
    const auto* same = dynamic_cast<const Weighted*>(&other);
    if (same == nullptr) return;
    virtual_time_ = same->virtual_time_;
    if (shares_.size() < same->shares_.size()) shares_.resize(same->shares_.size());
    Clear();
    turned_down_.clear();
    for (uint32_t position = 0; position < shares_.size(); ++position) {
      const Share mine = shares_[position];
      Share& share = shares_[position];
      share = position < same->shares_.size() ? same->shares_[position] : Share{};
      share.present = mine.present;
      if (mine.present == 0) continue;
      Reweigh(share, mine.weight);
      Link(share.pass(), position);
    }
  }

 private:
  // 16 bytes, as there is one for each position of the group. Kept while its member is absent.
  struct Share {
    uint64_t pass_low = 0;
    uint32_t pass_high = 0;
    uint32_t weight : 31 = 0;  // 0: never seen
    uint32_t present : 1 = 0;
    Pass pass() const { return absl::MakeUint128(pass_high, pass_low); }
    void set_pass(Pass pass) {
      pass_low = absl::Uint128Low64(pass);
      pass_high = static_cast<uint32_t>(absl::Uint128High64(pass));
    }
  };
  static_assert(sizeof(Share) == 16);

  void Link(Pass pass, uint32_t position) {
    Positions& positions = order_[pass];
    positions.insert(positions.end(), position);
    ++size_;
  }

  void Unlink(Pass pass, uint32_t position) {
    const auto at = order_.find(pass);
    at->second.erase(position);
    if (at->second.empty()) order_.erase(at);
    --size_;
  }

  void Clear() {
    order_.clear();
    size_ = 0;
  }

  // What is left of the present stride counts in proportion: half a stride stays half a stride.
  void Reweigh(Share& share, uint32_t weight) const {
    if (share.weight == 0) {
      share.set_pass(virtual_time_);
    } else if (share.weight != weight && share.pass() > virtual_time_) {
      const Pass rest = share.pass() - virtual_time_;
      share.set_pass(virtual_time_ + rest * share.weight / weight);
    }
    share.weight = weight & 0x7fffffff;
  }

  void Rekey(uint32_t position, Pass before) {
    Unlink(before, position);
    Link(shares_[position].pass(), position);
  }

  // Members that the latest pick turned down keep their turn, but do not save up turns: without
  // this a member that cools for one model for an hour would then get every call until it had
  // caught up.
  void ForgetCredit() {
    for (const uint32_t position : turned_down_) {
      if (!Contains(position)) continue;
      Share& share = shares_[position];
      const Pass before = share.pass();
      if (before + kUnit / share.weight >= virtual_time_) continue;
      share.set_pass(virtual_time_);
      Rekey(position, before);
    }
    turned_down_.clear();
  }

  // By pass, then by position. Members with the same weight stride along together, so there are
  // few passes with many members each, who leave and join in the order of their positions.
  using Positions = absl::btree_set<uint32_t>;
  absl::btree_map<Pass, Positions> order_;
  size_t size_ = 0;
  std::vector<Share> shares_;  // by position
  Pass virtual_time_ = 0;
  std::vector<uint32_t> turned_down_;
};

}  // namespace

std::unique_ptr<ReadySet> NewWeighted() { return std::make_unique<Weighted>(); }

}  // namespace credbroker::core
