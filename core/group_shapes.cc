// Which index a request asks: its shape (providers, kind, labels), then its model name.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/group_index.h"

namespace credbroker::core {
namespace {

std::string ShapeKey(absl::Span<const ProviderId> providers, std::optional<Kind> kind,
                     const std::vector<std::pair<std::string, std::string>>& labels) {
  std::string key;
  for (ProviderId provider : providers) absl::StrAppend(&key, provider.number(), ",");
  absl::StrAppend(&key, "|", kind ? static_cast<int>(*kind) : -1);
  // Lengths first, so that no label can imitate another combination.
  for (const auto& [name, value] : labels) {
    absl::StrAppend(&key, "|", name.size(), ":", name, "=", value.size(), ":", value);
  }
  return key;
}

// What a rule set makes of a name.
void JudgeName(const RuleSet& rules, absl::string_view model, bool* served, bool* renamed) {
  absl::string_view upstream;
  *served = rules.Serves(model, &upstream);
  *renamed = *served && upstream != model;
}
}  // namespace

GroupIndex::NameEntry GroupIndex::NameFor(Shape& shape, absl::string_view model) {
  auto found = shape.names.find(model);
  if (found != shape.names.end()) return found->second;
  NameEntry entry;
  std::string signature;
  bool everyone = true;
  for (const auto& [rules, members] : shape.rules) {
    bool served = false, renamed = false;
    JudgeName(rules_->at(rules), model, &served, &renamed);
    if (!served) everyone = false;
    if (renamed) entry.uniform = false;
    if (served) absl::StrAppend(&signature, rules, ";");
  }
  if (everyone) {
    entry.view = shape.all.get();
  } else if (!signature.empty()) {
    auto& view = shape.by_signature[signature];
    if (view == nullptr) {
      view = std::make_unique<IndexView>(settings_.strategy);
      for (auto at = shape.all->members().Next(0); at; at = shape.all->members().Next(*at + 1)) {
        const Record& record = records_->at(order_.SlotAt(*at));
        absl::string_view upstream;
        if (rules_->at(record.rules).Serves(model, &upstream)) view->Add(*at, StateOf(record));
      }
      auto old = shape.old_names.find(model);
      if (old != shape.old_names.end() && old->second.view != nullptr) {
        view->Inherit(*old->second.view);
      }
    }
    entry.view = view.get();
  }
  // Names are a cache: an invented one is forgotten with the rest, and indexes are shared.
  if (shape.names.size() >= kMaxNames) shape.names.clear();
  shape.names.emplace(std::string(model), entry);
  return entry;
}

void GroupIndex::RulesChanged(Shape& shape) {
  shape.old_views = std::move(shape.by_signature);
  shape.by_signature.clear();
  shape.old_names = std::move(shape.names);
  shape.names.clear();
  shape.dedicated.clear();
}

bool GroupIndex::Serves(const IndexView& view, const Shape& shape, const Record& record) const {
  // A view is defined by the rule sets it accepts; the signature lists them.
  for (const auto& [signature, candidate] : shape.by_signature) {
    if (candidate.get() != &view) continue;
    const std::string wanted = absl::StrCat(record.rules, ";");
    for (size_t at = signature.find(wanted); at != std::string::npos;
         at = signature.find(wanted, at + 1)) {
      if (at == 0 || signature[at - 1] == ';') return true;
    }
  }
  return false;
}

MemberState GroupIndex::StateOf(const Record& record, absl::string_view model) const {
  MemberState member = StateOf(record);
  absl::string_view upstream;
  if (!rules_->at(record.rules).Serves(model, &upstream)) return member;
  const auto id = models_->Find(upstream);
  if (!id) return member;
  const Standing* held = ModelStanding(order_.SlotAt(record.position), *id);
  if (held != nullptr) member.standing = Combine(member.standing, *held);
  return member;
}

IndexView* GroupIndex::DedicatedFor(Shape& shape, const IndexView& base, absl::string_view model) {
  auto found = shape.dedicated.find(model);
  if (found != shape.dedicated.end()) return found->second.get();
  if (shape.dedicated.size() >= kMaxDedicated) return nullptr;
  auto view = std::make_unique<IndexView>(settings_.strategy);
  for (auto at = base.members().Next(0); at; at = base.members().Next(*at + 1)) {
    view->Add(*at, StateOf(records_->at(order_.SlotAt(*at)), model));
  }
  view->Inherit(base);
  return shape.dedicated.emplace(std::string(model), std::move(view)).first->second.get();
}

std::string GroupIndex::LabelKey(absl::string_view name, absl::string_view value) {
  return absl::StrCat(name.size(), ":", name, "=", value);
}

std::unique_ptr<GroupIndex::Shape> GroupIndex::MakeShape(absl::Span<const ProviderId> providers,
                                                         std::optional<Kind> kind, Labels labels) {
  auto shape = std::make_unique<Shape>();
  shape->providers.assign(providers.begin(), providers.end());
  shape->kind = kind;
  for (const auto& [name, value] : labels) {
    shape->labels.emplace_back(std::string(name), std::string(value));
  }
  std::sort(shape->labels.begin(), shape->labels.end());
  shape->key = ShapeKey(shape->providers, kind, shape->labels);
  shape->all = std::make_unique<IndexView>(settings_.strategy);
  for (const auto& [id, position] : order_.by_id()) {
    const Record& record = records_->at(order_.SlotAt(position));
    if (!Fits(*shape, record)) continue;
    ++shape->members;
    ++shape->rules[record.rules];
    shape->all->Add(position, StateOf(record));
  }
  return shape;
}

void GroupIndex::RegisterShape(Shape* shape) {
  for (ProviderId provider : shape->providers) shapes_of_[provider].push_back(shape);
  if (shape->providers.size() == 1 && !shape->kind && shape->labels.empty()) {
    const uint32_t number = shape->providers[0].number();
    if (single_.size() <= number) single_.resize(number + 1, nullptr);
    single_[number] = shape;
  }
}

void GroupIndex::DropShape(const std::string& key) {
  auto it = shapes_.find(key);
  Shape* shape = it->second.get();
  for (ProviderId provider : shape->providers) {
    auto& list = shapes_of_[provider];
    list.erase(std::find(list.begin(), list.end(), shape));
  }
  for (Shape*& single : single_) {
    if (single == shape) single = nullptr;
  }
  shapes_.erase(it);
}

GroupIndex::Shape* GroupIndex::ShapeFor(absl::Span<const ProviderId> providers,
                                        std::optional<Kind> kind, Labels labels) {
  if (providers.size() == 1 && !kind && labels.empty()) {
    const uint32_t number = providers[0].number();
    if (number < single_.size() && single_[number] != nullptr) return single_[number];
  }
  std::vector<std::pair<std::string, std::string>> sorted;
  for (const auto& [name, value] : labels) sorted.emplace_back(name, value);
  std::sort(sorted.begin(), sorted.end());
  auto found = shapes_.find(ShapeKey(providers, kind, sorted));
  if (found != shapes_.end()) {
    found->second->used = ++uses_;
    return found->second.get();
  }
  std::unique_ptr<Shape> shape = MakeShape(providers, kind, labels);
  if (shape->members == 0) return nullptr;  // nobody: not worth an index
  if (shapes_.size() >= kMaxShapes) {
    auto oldest = std::min_element(
        shapes_.begin(), shapes_.end(),
        [](const auto& a, const auto& b) { return a.second->used < b.second->used; });
    DropShape(std::string(oldest->first));
  }
  shape->used = ++uses_;
  Shape* raw = shape.get();
  shapes_.emplace(shape->key, std::move(shape));
  RegisterShape(raw);
  return raw;
}

GroupIndex::Miss GroupIndex::Resolve(absl::Span<const ProviderId> providers,
                                     std::optional<Kind> kind, Labels labels,
                                     absl::string_view model, Demand* demand) {
  Shape* shape = nullptr;
  if (providers.size() == 1 && !kind && labels.empty() && providers[0].number() < single_.size()) {
    shape = single_[providers[0].number()];  // the common request
  }
  if (shape == nullptr || shape->members == 0) {
    bool any = false;
    for (ProviderId provider : providers) any = any || HasProvider(provider);
    if (!any) return Miss::kNoProvider;
  }
  for (const auto& [name, value] : labels) {
    if (!label_counts_.contains(LabelKey(name, value))) return Miss::kNoMatch;
  }
  if (shape == nullptr) shape = ShapeFor(providers, kind, labels);
  if (shape == nullptr || shape->members == 0) return Miss::kNoMatch;
  demand->model = model;
  demand->view = shape->all.get();
  demand->uniform = true;
  const bool trivial = shape->rules.size() == 1 && shape->rules.begin()->first == 0;
  if (!trivial && !model.empty()) {
    const NameEntry entry = NameFor(*shape, model);
    if (entry.view == nullptr) return Miss::kUnserved;
    demand->view = entry.view;
    demand->uniform = entry.uniform;
  }
  if (overlays_.empty() || model.empty() || !demand->uniform) return Miss::kNone;
  const auto id = models_->Find(model);
  if (!id) return Miss::kNone;
  auto overlay = overlays_.find(*id);
  if (overlay == overlays_.end()) return Miss::kNone;
  demand->overlay = &overlay->second;
  if (overlay->second.size() > kDedicatedAt) {
    IndexView* own = DedicatedFor(*shape, *demand->view, model);
    if (own != nullptr) {
      demand->view = own;
      demand->dedicated = true;
      demand->overlay = nullptr;
    }
  }
  return Miss::kNone;
}

}  // namespace credbroker::core
