#include <memory>
#include <optional>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/numeric/int128.h"
#include "core/ready_strategies.h"

namespace credbroker::core {
namespace {

class LeastInFlight final : public ReadySet {
 public:
  void Insert(uint32_t position, const MemberFacts& facts) override {
    if (Contains(position)) return;
    if (position >= loads_.size()) loads_.resize(position + size_t{1});
    loads_[position] = {facts.last_grant, facts.in_flight, true};
    order_.insert(KeyOf(position));
  }

  void Erase(uint32_t position) override {
    if (!Contains(position)) return;
    order_.erase(KeyOf(position));
    loads_[position].present = false;
  }

  void Update(uint32_t position, const MemberFacts& facts) override {
    if (!Contains(position)) return;
    Load& load = loads_[position];
    if (load.last_grant == facts.last_grant && load.in_flight == facts.in_flight) return;
    order_.erase(KeyOf(position));
    load = {facts.last_grant, facts.in_flight, true};
    order_.insert(KeyOf(position));
  }

  bool Contains(uint32_t position) const override {
    return position < loads_.size() && loads_[position].present;
  }
  size_t size() const override { return order_.size(); }

  std::optional<uint32_t> Pick(Admissible admissible, absl::Time /*now*/) override {
    for (const absl::uint128 key : order_) {
      const auto position = static_cast<uint32_t>(absl::Uint128Low64(key));
      if (admissible(position)) return position;
    }
    return std::nullopt;
  }

  // Nothing to charge here: the grant shows in the facts of the next Update.
  void Granted(uint32_t /*position*/) override {}

  void Relabel(const IdOrder& order) override {
    const std::vector<uint32_t>& moved = order.moved();
    std::vector<Load> loads(order.limit());
    for (uint32_t from = 0; from < loads_.size() && from < moved.size(); ++from) {
      if (loads_[from].present) loads[moved[from]] = loads_[from];
    }
    loads_ = std::move(loads);
    order_.clear();
    for (uint32_t position = 0; position < loads_.size(); ++position) {
      if (loads_[position].present) order_.insert(KeyOf(position));
    }
  }

 private:
  struct Load {
    uint64_t last_grant = 0;
    uint32_t in_flight = 0;
    bool present = false;
  };

  // Order by calls in flight (32 bits), number of the latest grant (64), position (32).
  absl::uint128 KeyOf(uint32_t position) const {
    const Load& load = loads_[position];
    return absl::uint128(load.in_flight) << 96 | absl::uint128(load.last_grant) << 32 | position;
  }

  absl::btree_set<absl::uint128> order_;
  std::vector<Load> loads_;  // by position
};

}  // namespace

std::unique_ptr<ReadySet> NewLeastInFlight() { return std::make_unique<LeastInFlight>(); }

}  // namespace credbroker::core
