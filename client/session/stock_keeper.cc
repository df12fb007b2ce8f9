#include "client/session/stock_keeper.h"

#include <algorithm>
#include <utility>

#include "credbroker/client/error.h"

namespace credbroker::client {
namespace {

// The first level of a stock that was found empty.
constexpr int kFirstLevel = 4;
// After a refusal without a time: from the first to the last of these, doubling. With one: at most
// the last.
constexpr absl::Duration kMinBlock = absl::Milliseconds(200);
constexpr absl::Duration kMaxBlock = absl::Seconds(30);
// Only capped or half-open credentials can serve: look again so much later.
constexpr absl::Duration kNotForStockBlock = absl::Seconds(5);

}  // namespace

void StockKeeper::Declare(TargetId id, Target target, int64_t now) {
  shards_.Prepare(id, static_cast<size_t>(std::max(target.stock.max, 1)));
  Entry& entry = entries_[id];
  const TargetCounters& counters = *shards_.counters(id);
  const int stale = entry.stale_under_way + (entry.under_way ? 1 : 0);
  entry = Entry{.target = std::move(target)};
  entry.stale_under_way = stale;
  entry.level = std::min(entry.target.stock.initial, entry.target.stock.max);
  entry.used_at_ns = now;
  entry.seen_taken = counters.taken.load(std::memory_order_relaxed);
  entry.seen_missed = counters.missed.load(std::memory_order_relaxed);
}

void StockKeeper::Retire(TargetId id) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  found->second.retired = true;
  found->second.level = 0;
  shards_.counters(id)->low_water.store(-1, std::memory_order_relaxed);
}

const Target* StockKeeper::Find(TargetId id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() || found->second.retired ? nullptr : &found->second.target;
}

int StockKeeper::Wanted(TargetId id, const Entry& entry, int64_t now) const {
  if (entry.retired || entry.under_way || now < entry.blocked_until_ns) return 0;
  int level = entry.level;
  if (entry.hungry) level = level == 0 ? kFirstLevel : level * 2;
  level = std::min(level, entry.target.stock.max);
  const int stock = shards_.counters(id)->stock.load(std::memory_order_relaxed);
  return stock <= level / 2 ? level - stock : 0;
}

void StockKeeper::SetLowWater(TargetId id, const Entry& entry, int64_t now) {
  const bool watch =
      !entry.retired && entry.level > 0 && !entry.under_way && now >= entry.blocked_until_ns;
  shards_.counters(id)->low_water.store(watch ? entry.level / 2 : -1, std::memory_order_relaxed);
}

void StockKeeper::Step(int64_t now) {
  for (auto& [id, entry] : entries_) {
    if (entry.retired) continue;
    const TargetCounters& counters = *shards_.counters(id);
    const uint64_t taken = counters.taken.load(std::memory_order_relaxed);
    const uint64_t missed = counters.missed.load(std::memory_order_relaxed);
    if (taken != entry.seen_taken || missed != entry.seen_missed) entry.used_at_ns = now;
    if (missed != entry.seen_missed && entry.target.stock.max > 0) entry.hungry = true;
    entry.seen_taken = taken;
    entry.seen_missed = missed;
    SetLowWater(id, entry, now);
  }
}

bool StockKeeper::has_wanted(int64_t now) const {
  for (const auto& [id, entry] : entries_) {
    if (!entry.retired && (!entry.declared || Wanted(id, entry, now) > 0)) return true;
  }
  return false;
}

size_t StockKeeper::Fill(v1::SessionRequest* message, size_t budget, int64_t now) {
  size_t count = 0;
  for (auto& [id, entry] : entries_) {
    if (entry.retired || entry.declared || count == budget) continue;
    v1::SessionTarget* wire = message->add_targets();
    wire->set_target(id);
    wire->set_group(entry.target.group);
    wire->mutable_providers()->Assign(entry.target.providers.begin(), entry.target.providers.end());
    wire->set_model(entry.target.model);
    wire->set_kind(entry.target.kind);
    wire->mutable_labels()->insert(entry.target.labels.begin(), entry.target.labels.end());
    ToWire(entry.target.ttl, wire->mutable_ttl());
    entry.declared = true;
    ++count;
  }
  for (auto& [id, entry] : entries_) {
    if (count == budget) break;
    const int wanted = entry.declared ? Wanted(id, entry, now) : 0;
    if (wanted <= 0) continue;
    if (entry.hungry) {
      entry.level =
          std::min(entry.level == 0 ? kFirstLevel : entry.level * 2, entry.target.stock.max);
      entry.hungry = false;
    }
    v1::SessionPrefetch* wire = message->add_prefetches();
    wire->set_target(id);
    wire->set_count(static_cast<uint32_t>(wanted));
    entry.under_way = true;
    SetLowWater(id, entry, now);
    ++count;
  }
  return count;
}

bool StockKeeper::Arrived(const v1::SessionStock& answer, int64_t now) {
  const auto found = entries_.find(answer.target());
  if (found == entries_.end()) return false;
  Entry& entry = found->second;
  if (entry.stale_under_way > 0) {
    --entry.stale_under_way;
    return false;
  }
  entry.under_way = false;
  if (answer.refused() == 0) {
    entry.refusals = 0;
  } else {
    const absl::Status refusal = FromRpcStatus(answer.refusal());
    absl::Duration block = std::min(kMinBlock * (1 << std::min(entry.refusals, 10)), kMaxBlock);
    ++entry.refusals;
    if (const auto delay = RetryDelayOf(refusal); delay.has_value()) {
      block = std::clamp(*delay, absl::ZeroDuration(), kMaxBlock);
    } else if (ReasonOf(refusal) == v1::ERROR_REASON_NOT_FOR_STOCK) {
      block = kNotForStockBlock;
    }
    // Not everybody at once.
    entry.blocked_until_ns = After(now, block * (1.0 + 0.2 * random_.Fraction()));
    // A later miss asks again; until then nobody needs it.
    if (answer.leases_size() == 0) entry.level = entry.level / 2;
  }
  SetLowWater(found->first, entry, now);
  return !entry.retired;
}

void StockKeeper::Keeps(TargetId id, int64_t use_by_ns) {
  Entry& entry = entries_[id];
  entry.age_due_ns = std::min(entry.age_due_ns, use_by_ns);
}

bool StockKeeper::Idle(TargetId id, const Entry& entry, int64_t now) const {
  return shards_.counters(id)->stock.load(std::memory_order_relaxed) > 0 &&
         (entry.retired || now >= After(entry.used_at_ns, entry.target.stock.idle_return));
}

bool StockKeeper::ReturnsDue(int64_t now) const {
  for (const auto& [id, entry] : entries_) {
    if (now >= entry.age_due_ns || Idle(id, entry, now)) return true;
  }
  return false;
}

void StockKeeper::BeginReturns(int64_t now) {
  for (auto& [id, entry] : entries_) {
    entry.returning_all = Idle(id, entry, now);
    if (entry.returning_all) entry.level = 0;
    entry.returned_aged = false;
    entry.age_due_ns = kNever;
  }
}

bool StockKeeper::ShouldReturn(const LeaseRecord& record, int64_t now) {
  const auto found = entries_.find(record.target);
  if (found == entries_.end()) return true;
  Entry& entry = found->second;
  if (entry.returning_all) return true;
  if (now >= record.use_by_boot_ns) {
    entry.returned_aged = true;
    return true;
  }
  entry.age_due_ns = std::min(entry.age_due_ns, record.use_by_boot_ns);
  return false;
}

void StockKeeper::EndReturns(int64_t now) {
  for (auto& [id, entry] : entries_) {
    if (entry.returned_aged) entry.level /= 2;
    SetLowWater(id, entry, now);
  }
}

void StockKeeper::Rewind() {
  for (auto& [id, entry] : entries_) {
    entry.declared = false;
    entry.under_way = false;
    entry.stale_under_way = 0;
    entry.blocked_until_ns = 0;
  }
}

int64_t StockKeeper::NextDue() const {
  int64_t due = kNever;
  for (const auto& [id, entry] : entries_) {
    due = std::min(due, entry.age_due_ns);
    if (entry.retired || shards_.counters(id)->stock.load(std::memory_order_relaxed) == 0) continue;
    due = std::min(due, After(entry.used_at_ns, entry.target.stock.idle_return));
  }
  return due;
}

}  // namespace credbroker::client
