#include <memory>
#include <optional>

#include "core/bitmap.h"
#include "core/fault.h"
#include "core/ready_strategies.h"

namespace credbroker::core {
namespace {

class FillFirst : public ReadySet {
 public:
  void Insert(uint32_t position, const MemberFacts& /*facts*/) override { members_.Set(position); }
  void Erase(uint32_t position) override { members_.Clear(position); }
  void Update(uint32_t /*position*/, const MemberFacts& /*facts*/) override {}
  bool Contains(uint32_t position) const override { return members_.Test(position); }
  size_t size() const override { return members_.count(); }

  std::optional<uint32_t> Pick(Admissible admissible, absl::Time /*now*/) override {
    return members_.FindCyclic(std::nullopt, admissible);
  }
  void Granted(uint32_t /*position*/) override {}
  void Relabel(const IdOrder& order) override { members_ = members_.Relabelled(order.moved()); }

 protected:
  SuccessorBitmap members_;
};

class RoundRobin final : public FillFirst {
 public:
  std::optional<uint32_t> Pick(Admissible admissible, absl::Time /*now*/) override {
    return members_.FindCyclic(cursor_, admissible);
  }
  void Granted(uint32_t position) override {
    if (!SeededFault("round_robin_stands")) cursor_ = position;
  }
  std::optional<uint32_t> Upcoming() const override {
    return members_.NextCyclic(members_.NextCyclic(cursor_));
  }
  void Relabel(const IdOrder& order) override {
    FillFirst::Relabel(order);
    cursor_ = order.NewCursor(cursor_);
  }
  void Inherit(const ReadySet& other) override {
    if (const auto* same = dynamic_cast<const RoundRobin*>(&other)) cursor_ = same->cursor_;
  }

 private:
  std::optional<uint32_t> cursor_;  // the latest grant
};

}  // namespace

std::unique_ptr<ReadySet> NewRoundRobin() { return std::make_unique<RoundRobin>(); }
std::unique_ptr<ReadySet> NewFillFirst() { return std::make_unique<FillFirst>(); }

}  // namespace credbroker::core
