#include "core/index_view.h"

#include "core/check.h"

namespace credbroker::core {

void IndexView::Count(const Standing& standing, uint32_t by) {
  // `by` is 1 or its wrap-around negative; counts stay exact modulo 2^32.
  if (standing.cause != Cause::kNone) counts_[static_cast<size_t>(standing.cause)] += by;
  if (standing.open) open_ += by;
  if (standing.state == State::kAvailable) unblocked_ += by;
}

void IndexView::Add(uint32_t position, const MemberState& member) {
  CB_CHECK(!members_.Test(position));
  members_.Set(position);
  Tier& tier = tiers_[member.priority];
  if (tier.ready == nullptr) tier.ready = ReadySet::Create(strategy_);
  ++tier.members;
  const Standing& now = member.standing;
  if (now.ready) tier.ready->Insert(position, member.facts);
  if (now.probe_ready) probes_.insert({now.probed_ns, position});
  if (now.returns_ns != INT64_MAX) returning_.insert({now.returns_ns, position});
  Count(now, 1);
}

void IndexView::Remove(uint32_t position, const MemberState& member) {
  CB_CHECK(members_.Test(position));
  members_.Clear(position);
  auto tier = tiers_.find(member.priority);
  CB_CHECK(tier != tiers_.end());
  const Standing& was = member.standing;
  if (was.ready) tier->second.ready->Erase(position);
  if (was.probe_ready) CB_CHECK(probes_.erase({was.probed_ns, position}) == 1);
  if (was.returns_ns != INT64_MAX) CB_CHECK(returning_.erase({was.returns_ns, position}) == 1);
  Count(was, static_cast<uint32_t>(-1));
  if (--tier->second.members == 0) tiers_.erase(tier);
}

void IndexView::Update(uint32_t position, int64_t priority, const MemberFacts& facts,
                       const Standing& before, const Standing& after) {
  if (before.ready != after.ready || after.ready) {
    auto tier = tiers_.find(priority);
    CB_CHECK(tier != tiers_.end());
    ReadySet& ready = *tier->second.ready;
    if (before.ready && !after.ready) {
      ready.Erase(position);
    } else if (!before.ready && after.ready) {
      ready.Insert(position, facts);
    } else {
      ready.Update(position, facts);
    }
  }
  if (before.probe_ready != after.probe_ready || before.probed_ns != after.probed_ns) {
    if (before.probe_ready) CB_CHECK(probes_.erase({before.probed_ns, position}) == 1);
    if (after.probe_ready) probes_.insert({after.probed_ns, position});
  }
  if (before.returns_ns != after.returns_ns) {
    if (before.returns_ns != INT64_MAX) {
      CB_CHECK(returning_.erase({before.returns_ns, position}) == 1);
    }
    if (after.returns_ns != INT64_MAX) returning_.insert({after.returns_ns, position});
  }
  Count(before, static_cast<uint32_t>(-1));
  Count(after, 1);
}

void IndexView::Touch(uint32_t position, int64_t priority, const MemberFacts& facts) {
  auto tier = tiers_.find(priority);
  if (tier != tiers_.end()) tier->second.ready->Update(position, facts);
}

void IndexView::Relabel(const IdOrder& order) {
  const auto& moved = order.moved();
  SuccessorBitmap members;
  members.Grow(order.limit());
  for (auto at = members_.Next(0); at; at = members_.Next(*at + 1)) members.Set(moved[*at]);
  members_ = std::move(members);
  for (Timed* timed : {&probes_, &returning_}) {
    Timed renamed;
    for (const auto& [time, position] : *timed) renamed.insert({time, moved[position]});
    *timed = std::move(renamed);
  }
  for (auto& [priority, tier] : tiers_) tier.ready->Relabel(order);
}

void IndexView::Inherit(const IndexView& other) {
  for (auto& [priority, tier] : tiers_) {
    auto it = other.tiers_.find(priority);
    if (it != other.tiers_.end()) tier.ready->Inherit(*it->second.ready);
  }
}

}  // namespace credbroker::core
