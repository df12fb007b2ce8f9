#include "core/group_index.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/check.h"

namespace credbroker::core {
namespace {

bool HasLabel(const Document& document, const std::pair<std::string, std::string>& wanted) {
  return std::find(document.labels.begin(), document.labels.end(), wanted) != document.labels.end();
}

}  // namespace

MemberFacts FactsOf(const Record& record) {
  MemberFacts facts;
  facts.weight = record.document->weight;
  facts.in_flight = record.in_flight;
  facts.last_grant = record.last_grant;
  if (record.windows != nullptr) {
    bool exhausted = false;
    for (const RateWindow& window : *record.windows) {
      if (!window.remaining.has_value()) continue;
      if (*window.remaining <= 0) {
        exhausted = true;
      } else {
        facts.reset_with_headroom = std::min(facts.reset_with_headroom, window.reset);
      }
    }
    if (exhausted) {
      facts.reset_with_headroom = absl::InfiniteFuture();
      facts.exhausted = true;
    }
  }
  return facts;
}

Standing Combine(const Standing& credential, const Standing& model) {
  if (credential.state == State::kDisabled) return credential;
  Standing both;
  both.probed_ns = std::max(credential.probed_ns, model.probed_ns);
  const bool credential_waits = credential.state == State::kWaiting;
  const bool model_waits = model.state == State::kWaiting;
  if (credential_waits || model_waits) {
    both.state = State::kWaiting;
    const bool lead_model =
        model_waits && (!credential_waits || model.returns_ns > credential.returns_ns);
    both.cause = lead_model ? model.cause : credential.cause;
    both.returns_ns = lead_model ? model.returns_ns : credential.returns_ns;
    return both;
  }
  both.state = State::kAvailable;
  both.half_open = credential.half_open || model.half_open;
  if (both.half_open) {
    both.cause = Cause::kHalfOpen;
    const bool credential_lets = credential.half_open ? credential.probe_ready : credential.ready;
    const bool model_lets = !model.half_open || model.probe_ready;
    both.probe_ready = credential_lets && model_lets && model.cause != Cause::kBusy;
    if (!both.probe_ready) {
      if (!credential_lets) both.returns_ns = credential.returns_ns;
      if (model.half_open && !model.probe_ready) {
        both.returns_ns = both.returns_ns == INT64_MAX
                              ? model.returns_ns
                              : std::max(both.returns_ns, model.returns_ns);
      }
    }
    return both;
  }
  both.open = credential.open;
  // A pin may take one without weight, but not at the model's cap.
  const bool own = credential.cause == Cause::kBusy || model.cause == Cause::kNone;
  both.cause = own ? credential.cause : model.cause;
  both.ready = credential.ready && model.cause != Cause::kBusy;
  both.returns_ns = credential.returns_ns;
  return both;
}

GroupIndex::GroupIndex(GroupId id, GroupSettings settings, RecordTable* records, RuleTable* rules,
                       Models* models)
    : id_(id), settings_(std::move(settings)), records_(records), rules_(rules), models_(models) {}

void GroupIndex::Configure(GroupSettings settings) {
  const bool again = settings.strategy != settings_.strategy;
  settings_ = std::move(settings);
  if (!again) return;
  shapes_.clear();
  shapes_of_.clear();
  single_.clear();
}

bool GroupIndex::Fits(const Shape& shape, const Record& record) const {
  if (!std::binary_search(shape.providers.begin(), shape.providers.end(), record.provider)) {
    return false;
  }
  if (shape.kind.has_value() && record.document->kind != *shape.kind) return false;
  for (const auto& label : shape.labels) {
    if (!HasLabel(*record.document, label)) return false;
  }
  return true;
}

MemberState GroupIndex::StateOf(const Record& record) const {
  return {record.document->priority, FactsOf(record), record.standing};
}

template <typename Visit>
void GroupIndex::ForEachView(ProviderId provider, Visit visit) {
  auto it = shapes_of_.find(provider);
  if (it == shapes_of_.end()) return;
  for (Shape* shape : it->second) {
    visit(*shape, *shape->all, nullptr);
    for (auto& [key, view] : shape->by_signature) visit(*shape, *view, nullptr);
    for (auto& [key, view] : shape->old_views) visit(*shape, *view, nullptr);
    for (auto& [model, view] : shape->dedicated) visit(*shape, *view, &model);
  }
}

void GroupIndex::AddToShape(Shape& shape, const Record& record) {
  ++shape.members;
  const bool new_rules = ++shape.rules[record.rules] == 1;
  shape.all->Add(record.position, StateOf(record));
  if (new_rules && shape.rules.size() + (record.rules == 0 ? 0 : 1) > 1) {
    RulesChanged(shape);
    return;
  }
  // Names with equal rules share a view, and every rule set here was judged for it before.
  for (auto& [signature, view] : shape.by_signature) {
    if (Serves(*view, shape, record)) view->Add(record.position, StateOf(record));
  }
  for (auto& [model, view] : shape.dedicated) {
    absl::string_view upstream;
    if (rules_->at(record.rules).Serves(model, &upstream)) {
      view->Add(record.position, StateOf(record, model));
    }
  }
}

void GroupIndex::RemoveFromShape(Shape& shape, const Record& record) {
  for (auto& [model, view] : shape.dedicated) {
    if (view->IsMember(record.position)) {
      view->Remove(record.position, StateOf(record, model));
    }
  }
  shape.all->Remove(record.position, StateOf(record));
  for (auto* views : {&shape.by_signature, &shape.old_views}) {
    for (auto& [signature, view] : *views) {
      if (view->IsMember(record.position)) view->Remove(record.position, StateOf(record));
    }
  }
  --shape.members;
  auto it = shape.rules.find(record.rules);
  CB_CHECK(it != shape.rules.end());
  if (--it->second == 0) {
    shape.rules.erase(it);
    RulesChanged(shape);
  }
}

void GroupIndex::Add(Slot slot) {
  Record& record = records_->at(slot);
  const IdOrder::Placed placed = order_.Insert(record.id(), slot);
  record.position = placed.position;
  if (placed.relabelled) Relabelled();
  ++provider_counts_[record.provider];
  for (const auto& [name, value] : record.document->labels)
    ++label_counts_[GroupIndex::LabelKey(name, value)];
  auto it = shapes_of_.find(record.provider);
  if (it == shapes_of_.end()) return;
  for (Shape* shape : it->second) {
    if (Fits(*shape, record)) AddToShape(*shape, record);
  }
}

void GroupIndex::Remove(Slot slot) {
  Record& record = records_->at(slot);
  auto it = shapes_of_.find(record.provider);
  if (it != shapes_of_.end()) {
    for (Shape* shape : it->second) {
      if (Fits(*shape, record)) RemoveFromShape(*shape, record);
    }
  }
  if (--provider_counts_[record.provider] == 0) provider_counts_.erase(record.provider);
  for (const auto& [name, value] : record.document->labels) {
    auto label = label_counts_.find(GroupIndex::LabelKey(name, value));
    if (--label->second == 0) label_counts_.erase(label);
  }
  order_.Erase(record.id());
}

void GroupIndex::Update(Slot slot, const Standing& before) {
  const Record& record = records_->at(slot);
  if (record.standing == before) return;
  const MemberFacts facts = FactsOf(record);
  const int64_t priority = record.document->priority;
  ForEachView(record.provider, [&](Shape&, IndexView& view, const std::string* model) {
    if (!view.IsMember(record.position)) return;
    if (model == nullptr) {
      view.Update(record.position, priority, facts, before, record.standing);
      return;
    }
    absl::string_view upstream;
    rules_->at(record.rules).Serves(*model, &upstream);
    const Standing* held = ModelStanding(slot, models_->Find(upstream).value_or(kNoModel));
    view.Update(record.position, priority, facts, held ? Combine(before, *held) : before,
                held ? Combine(record.standing, *held) : record.standing);
  });
}

void GroupIndex::TellStrategies(Slot slot) {
  const Record& record = records_->at(slot);
  const MemberFacts facts = FactsOf(record);
  ForEachView(record.provider, [&](Shape&, IndexView& view, const std::string*) {
    if (view.IsMember(record.position)) {
      view.Touch(record.position, record.document->priority, facts);
    }
  });
}

void GroupIndex::SetModel(Slot slot, ModelId model, const Standing* standing) {
  const Record& record = records_->at(slot);
  auto overlay = overlays_.find(model);
  std::optional<Standing> before;
  if (overlay != overlays_.end()) {
    auto it = overlay->second.find(slot);
    if (it != overlay->second.end()) before = it->second;
  }
  if (before.has_value() == (standing != nullptr) && (!before || *before == *standing)) return;
  // Every index of its own that holds this member under this upstream name sees the change.
  const std::string& name = models_->Name(model);
  const MemberFacts facts = FactsOf(record);
  ForEachView(record.provider, [&](Shape&, IndexView& view, const std::string* asked) {
    absl::string_view upstream;
    if (asked == nullptr || !view.IsMember(record.position) ||
        !rules_->at(record.rules).Serves(*asked, &upstream) || upstream != name) {
      return;
    }
    view.Update(record.position, record.document->priority, facts,
                before ? Combine(record.standing, *before) : record.standing,
                standing ? Combine(record.standing, *standing) : record.standing);
  });
  if (standing != nullptr) {
    models_->Ref(before ? kNoModel : model);  // the overlay's own reference, once per entry
    overlays_[model][slot] = *standing;
    return;
  }
  overlay->second.erase(slot);
  if (overlay->second.empty()) {
    overlays_.erase(overlay);
    for (auto& [key, shape] : shapes_) shape->dedicated.erase(name);
  }
  models_->Unref(model);
}

void GroupIndex::EraseModels(Slot slot) {
  std::vector<ModelId> held;
  for (const auto& [model, overlay] : overlays_) {
    if (overlay.contains(slot)) held.push_back(model);
  }
  for (ModelId model : held) SetModel(slot, model, nullptr);
}

const Standing* GroupIndex::ModelStanding(Slot slot, ModelId model) const {
  if (model == kNoModel || overlays_.empty()) return nullptr;
  auto overlay = overlays_.find(model);
  if (overlay == overlays_.end()) return nullptr;
  auto it = overlay->second.find(slot);
  return it == overlay->second.end() ? nullptr : &it->second;
}

const Standing* GroupIndex::ModelStanding(const Demand& demand, Slot slot) const {
  if (overlays_.empty() || demand.model.empty()) return nullptr;
  absl::string_view upstream = demand.model;
  if (!demand.uniform) {
    const Record& record = records_->at(slot);
    if (!rules_->at(record.rules).Serves(demand.model, &upstream)) return nullptr;
  }
  const auto model = models_->Find(upstream);
  return model ? ModelStanding(slot, *model) : nullptr;
}

void GroupIndex::ForEachHeld(const Demand& demand,
                             absl::FunctionRef<void(Slot, const Standing&)> visit) const {
  if (demand.dedicated || demand.model.empty()) return;
  auto visit_members = [&](const Overlay& overlay) {
    for (const auto& [slot, standing] : overlay) {
      if (!demand.view->IsMember(records_->at(slot).position)) continue;
      if (demand.uniform || ModelStanding(demand, slot) == &standing) visit(slot, standing);
    }
  };
  if (demand.uniform) {
    if (demand.overlay != nullptr) visit_members(*demand.overlay);
    return;
  }
  for (const auto& [model, overlay] : overlays_) visit_members(overlay);
}

bool GroupIndex::IsUnblocked(const Demand& demand, ModelId upstream, Slot slot) const {
  const Record& record = records_->at(slot);
  if (!demand.view->IsMember(record.position)) return false;
  if (record.standing.state != State::kAvailable) return false;
  const Standing* held = ModelStanding(slot, upstream);
  return held == nullptr || held->state == State::kAvailable;
}

uint32_t GroupIndex::Unblocked(const Demand& demand, ModelId upstream) const {
  uint32_t count = demand.view->unblocked();
  auto overlay = overlays_.find(upstream);
  if (demand.dedicated || overlay == overlays_.end()) return count;
  for (const auto& [slot, standing] : overlay->second) {
    if (standing.state == State::kAvailable) continue;
    const Record& record = records_->at(slot);
    if (record.standing.state == State::kAvailable && demand.view->IsMember(record.position)) {
      --count;
    }
  }
  return count;
}

bool GroupIndex::HasProvider(ProviderId provider) const {
  return provider_counts_.contains(provider);
}

void GroupIndex::MakeStats(ProviderId provider) {
  auto& stats = stats_[provider];
  stats = std::make_unique<GroupProviderStats>();
  if (provider.number() >= stats_of_.size()) stats_of_.resize(provider.number() + 1, nullptr);
  stats_of_[provider.number()] = stats.get();
}

int64_t GroupIndex::NextReturn(ProviderId provider) const {
  if (provider.number() >= single_.size() || single_[provider.number()] == nullptr) {
    return INT64_MAX;
  }
  return single_[provider.number()]->all->next_return_ns();
}

size_t GroupIndex::indexes() const {
  size_t count = 0;
  for (const auto& [key, shape] : shapes_) {
    count += 1 + shape->by_signature.size() + shape->old_views.size() + shape->dedicated.size();
  }
  return count;
}

void GroupIndex::Relabelled() {
  for (const auto& [id, position] : order_.by_id()) {
    records_->at(order_.SlotAt(position)).position = position;
  }
  for (auto& [key, shape] : shapes_) {
    shape->all->Relabel(order_);
    for (auto& [signature, view] : shape->by_signature) view->Relabel(order_);
    for (auto& [signature, view] : shape->old_views) view->Relabel(order_);
    for (auto& [model, view] : shape->dedicated) view->Relabel(order_);
  }
}

void GroupIndex::CheckInvariants() const {
  CB_CHECK(order_.size() == order_.by_id().size());
  for (const auto& [key, shape] : shapes_) {
    uint32_t members = 0;
    std::array<uint32_t, kCauseCount> counts{};
    uint32_t open = 0;
    for (const auto& [id, position] : order_.by_id()) {
      const Slot slot = order_.SlotAt(position);
      const Record& record = records_->at(slot);
      CB_CHECK(record.id() == id && record.position == position && record.group == id_);
      if (!Fits(*shape, record)) continue;
      ++members;
      CB_CHECK(shape->all->IsMember(position));
      if (record.standing.cause != Cause::kNone) {
        ++counts[static_cast<size_t>(record.standing.cause)];
      }
      if (record.standing.open) ++open;
      auto tier = shape->all->tiers().find(record.document->priority);
      CB_CHECK(tier != shape->all->tiers().end());
      CB_CHECK(tier->second.ready->Contains(position) == record.standing.ready);
      CB_CHECK(shape->all->probes().contains({record.standing.probed_ns, position}) ==
               record.standing.probe_ready);
    }
    CB_CHECK(members == shape->members && members == shape->all->size());
    CB_CHECK(counts == shape->all->counts() && open == shape->all->open());
  }
}

}  // namespace credbroker::core
