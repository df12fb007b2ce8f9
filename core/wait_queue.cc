#include "core/wait_queue.h"

#include <cassert>
#include <iterator>

#include "core/fault.h"
#include "core/model_rules.h"

namespace credbroker::core {
namespace {

// FNV-1a: the same in every run, unlike absl::Hash.
class Digest {
 public:
  void Add(absl::string_view text) {
    for (const char c : text) Mix(static_cast<unsigned char>(c));
    Add(text.size());
  }
  void Add(uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) Mix(number >> shift & 0xff);
  }
  uint64_t value() const { return value_; }

 private:
  void Mix(uint64_t byte) { value_ = (value_ ^ byte) * 0x100000001b3; }
  uint64_t value_ = 0xcbf29ce484222325;
};

}  // namespace

uint64_t DemandOf(const AcquireCommand& command, bool of_session) {
  Digest digest;
  digest.Add(command.group.empty() ? absl::string_view("default") : command.group);
  digest.Add(command.providers.size());
  for (const absl::string_view provider : command.providers) digest.Add(provider);
  digest.Add(CanonicalModel(command.model));
  digest.Add(command.credential_id);
  digest.Add(command.excluded.size());
  for (const absl::string_view id : command.excluded) digest.Add(id);
  digest.Add(command.kind.has_value() ? static_cast<uint64_t>(*command.kind) + 1 : 0);
  digest.Add(command.labels.size());
  for (const auto& [key, value] : command.labels) {
    digest.Add(key);
    digest.Add(value);
  }
  digest.Add(uint64_t{command.allow_probe});
  // A session-bound call does not probe while its key has something open: another demand.
  digest.Add(uint64_t{command.session_key.empty()});
  if (of_session) digest.Add(command.session_key);
  return digest.value();
}

ParkedCall::ParkedCall(const AcquireCommand& command, bool of_session)
    : demand(DemandOf(command, of_session)),
      principal_name_(command.principal),
      group_name_(command.group),
      model_(command.model),
      session_(command.session_key),
      pin_(command.credential_id),
      request_id_(command.request_id),
      providers_(command.providers.begin(), command.providers.end()),
      excluded_(command.excluded.begin(), command.excluded.end()),
      kind_(command.kind),
      ttl_(command.ttl),
      max_wait_(command.max_wait),
      allow_probe_(command.allow_probe),
      session_id_(command.session) {
  labels_.reserve(command.labels.size());
  for (const auto& [key, value] : command.labels) {
    labels_.emplace_back(std::string(key), std::string(value));
  }
  provider_views_.assign(providers_.begin(), providers_.end());
  excluded_views_.assign(excluded_.begin(), excluded_.end());
  label_views_.assign(labels_.begin(), labels_.end());
}

AcquireCommand ParkedCall::View() const {
  AcquireCommand command;
  command.principal = principal_name_;
  command.group = group_name_;
  command.providers = provider_views_;
  command.model = model_;
  command.session_key = session_;
  command.credential_id = pin_;
  command.excluded = excluded_views_;
  command.kind = kind_;
  command.labels = label_views_;
  command.request_id = request_id_;
  command.ttl = ttl_;
  command.max_wait = max_wait_;
  command.allow_probe = allow_probe_;
  command.session = session_id_;
  return command;
}

void WaitQueue::Attach(Held* held) {
  Lane& lane = lanes_[held->call.group];
  const auto [entry, added] = lane.by_principal.try_emplace(held->call.principal);
  if (added) {
    lane.turns.emplace_back();
    entry->second = std::prev(lane.turns.end());
    entry->second->principal = held->call.principal;
  }
  PrincipalQueue& queue = *entry->second;
  queue.fifo.emplace(held->number, held);
  std::set<uint64_t>& numbers = queue.by_demand[held->call.demand];
  if (!numbers.empty()) queue.heads.erase({*numbers.begin(), held->call.demand});
  numbers.insert(held->number);
  queue.heads.insert({*numbers.begin(), held->call.demand});
  ++lane.demands[held->call.demand];
  ++lane.size;
  deadlines_.insert({held->call.deadline, held->call.id});
  ++per_principal_[held->call.principal];
}

// Leaves an empty queue and lane behind; see DropIfIdle.
void WaitQueue::Detach(const Held& held) {
  Lane& lane = lanes_.find(held.call.group)->second;
  PrincipalQueue& queue = *lane.by_principal.find(held.call.principal)->second;
  queue.fifo.erase(held.number);
  const auto numbers = queue.by_demand.find(held.call.demand);
  queue.heads.erase({*numbers->second.begin(), held.call.demand});
  numbers->second.erase(held.number);
  if (numbers->second.empty()) {
    queue.by_demand.erase(numbers);
  } else {
    queue.heads.insert({*numbers->second.begin(), held.call.demand});
  }
  const auto demand = lane.demands.find(held.call.demand);
  if (--demand->second == 0) lane.demands.erase(demand);
  --lane.size;
  deadlines_.erase({held.call.deadline, held.call.id});
  const auto count = per_principal_.find(held.call.principal);
  if (--count->second == 0) per_principal_.erase(count);
}

void WaitQueue::DropIfIdle(GroupId group, PrincipalId principal) {
  const auto lane = lanes_.find(group);
  const auto queue = lane->second.by_principal.find(principal);
  if (queue->second->fifo.empty()) {
    lane->second.turns.erase(queue->second);
    lane->second.by_principal.erase(queue);
  }
  if (lane->second.turns.empty()) lanes_.erase(lane);
}

ParkedCall WaitQueue::Take(WaiterId id) {
  const auto found = calls_.find(id);
  const std::unique_ptr<Held> held = std::move(found->second);
  calls_.erase(found);
  Detach(*held);
  DropIfIdle(held->call.group, held->call.principal);
  return std::move(held->call);
}

bool WaitQueue::Add(ParkedCall call, int max_total, int max_per_principal) {
  assert(!calls_.contains(call.id));
  if (static_cast<int64_t>(calls_.size()) >= max_total) return false;
  const auto count = per_principal_.find(call.principal);
  if ((count == per_principal_.end() ? 0 : count->second) >= max_per_principal) return false;
  const WaiterId id = call.id;
  auto held = std::make_unique<Held>(std::move(call));
  held->number = next_number_++;
  Attach(held.get());
  calls_.emplace(id, std::move(held));
  return true;
}

bool WaitQueue::Replace(WaiterId old, ParkedCall call) {
  const auto found = calls_.find(old);
  if (found == calls_.end()) return false;
  assert(found->second->call.principal == call.principal);
  assert(!calls_.contains(call.id));
  const std::unique_ptr<Held> before = std::move(found->second);
  calls_.erase(found);
  const WaiterId id = call.id;
  auto held = std::make_unique<Held>(std::move(call));
  held->number = before->number;
  // The emptied queue stays until the newcomer is in, so that the principal keeps its turn.
  Detach(*before);
  Attach(held.get());
  DropIfIdle(before->call.group, before->call.principal);
  calls_.emplace(id, std::move(held));
  return true;
}

const ParkedCall* WaitQueue::Find(WaiterId id) const {
  const auto found = calls_.find(id);
  return found == calls_.end() ? nullptr : &found->second->call;
}

void WaitQueue::SetSessionDecides(GroupId group, bool of_session) {
  const auto found = lanes_.find(group);
  if (found == lanes_.end()) return;
  std::vector<Held*> all;
  for (const PrincipalQueue& queue : found->second.turns) {
    for (const auto& [number, held] : queue.fifo) all.push_back(held);
  }
  for (Held* held : all) {
    Detach(*held);  // an emptied queue keeps its turn
    held->call.demand = DemandOf(held->call.View(), of_session);
    Attach(held);
  }
}

bool WaitQueue::Remove(WaiterId id) {
  if (!calls_.contains(id)) return false;
  Take(id);
  return true;
}

std::optional<WaiterId> WaitQueue::ServeOne(GroupId group,
                                            absl::FunctionRef<bool(const ParkedCall&)> serve) {
  const auto found = lanes_.find(group);
  if (found == lanes_.end()) return std::nullopt;
  Lane& lane = found->second;
  absl::flat_hash_set<uint64_t> failed;
  for (auto queue = lane.turns.begin(); queue != lane.turns.end(); ++queue) {
    for (const auto& [number, demand] : queue->heads) {
      if (failed.contains(demand)) continue;
      const ParkedCall& call = queue->fifo.find(number)->second->call;
      const WaiterId id = call.id;
      if (serve(call)) {
        if (!SeededFault("waiter_overtaken")) {
          lane.turns.splice(lane.turns.end(), lane.turns, queue);
        }
        Take(id);
        return id;
      }
      failed.insert(demand);
      if (failed.size() == lane.demands.size()) return std::nullopt;
    }
  }
  return std::nullopt;
}

void WaitQueue::ForEach(GroupId group, absl::FunctionRef<void(const ParkedCall&)> visit) const {
  const auto found = lanes_.find(group);
  if (found == lanes_.end()) return;
  // Rounds: one call of each principal in turn, as ServeOne would go if all could be served.
  using Fifo = std::map<uint64_t, Held*>;
  std::list<std::pair<Fifo::const_iterator, Fifo::const_iterator>> round;
  for (const PrincipalQueue& queue : found->second.turns) {
    round.emplace_back(queue.fifo.begin(), queue.fifo.end());
  }
  while (!round.empty()) {
    for (auto next = round.begin(); next != round.end();) {
      visit(next->first->second->call);
      ++next->first;
      next = next->first == next->second ? round.erase(next) : std::next(next);
    }
  }
}

std::vector<ParkedCall> WaitQueue::Expire(absl::Time now, int limit) {
  std::vector<ParkedCall> expired;
  while (limit-- > 0 && !deadlines_.empty() && deadlines_.begin()->first <= now) {
    expired.push_back(Take(deadlines_.begin()->second));
  }
  return expired;
}

absl::Time WaitQueue::NextDeadline() const {
  return deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first;
}

size_t WaitQueue::size(GroupId group) const {
  const auto lane = lanes_.find(group);
  return lane == lanes_.end() ? 0 : lane->second.size;
}

std::vector<GroupId> WaitQueue::groups() const {
  std::vector<GroupId> result;
  result.reserve(lanes_.size());
  for (const auto& [group, lane] : lanes_) result.push_back(group);
  return result;
}

}  // namespace credbroker::core
