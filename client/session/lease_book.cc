#include "client/session/lease_book.h"

namespace credbroker::client {
namespace {

// Upstream names are few; this only bounds what a broker could make us remember.
constexpr size_t kMaxNames = 10'000;

std::shared_ptr<const Material> ToMaterial(v1::SessionCredential* wire, const BrokerTime& time) {
  auto material = std::make_shared<Material>();
  material->credential_id = wire->credential_id();
  material->credential_uid = wire->credential_uid();
  material->group = wire->group();
  material->provider = wire->provider();
  material->kind = wire->kind();
  material->headers.reserve(static_cast<size_t>(wire->request_headers_size()));
  for (v1::Header& header : *wire->mutable_request_headers()) {
    material->headers.push_back({header.name(), Secret::TakeFrom(*header.mutable_value())});
  }
  material->proxy_url = Secret::TakeFrom(*wire->mutable_proxy_url());
  material->base_url = wire->base_url();
  material->attributes = wire->attributes();
  material->version = wire->material_version();
  if (wire->has_material_expire_time()) {
    material->expire_time = FromWire(wire->material_expire_time());
    material->expire_boot_ns = time.ToBoot(*material->expire_time);
  }
  material->ticket = Secret::TakeFrom(*wire->mutable_ticket());
  material->capped = wire->capped();
  return material;
}

}  // namespace

LeaseRecord* LeaseBook::New() {
  if (full()) return nullptr;
  LeaseRecord* record = nullptr;
  if (free_.empty()) {
    record = &slab_.emplace_back();
  } else {
    record = free_.back();
    free_.pop_back();
  }
  ++size_;
  record->local_id = ++last_local_id_;
  record->served_last = false;
  record->renewing = false;
  record->asked_ttl = absl::ZeroDuration();
  record->standing = Standing::kKnown;
  record->number = 0;
  record->order = 0;
  record->revoke_reason.store(0, std::memory_order_relaxed);
  record->place.store(Place::kStock, std::memory_order_relaxed);
  return record;
}

void LeaseBook::Free(LeaseRecord* record) {
  if (const auto found = by_number_.find(record->number);
      found != by_number_.end() && found->second == record) {
    by_number_.erase(found);
  }
  if (const auto found = presented_.find(record->number);
      found != presented_.end() && found->second == record) {
    presented_.erase(found);
  }
  record->place.store(Place::kFree, std::memory_order_relaxed);
  --size_;
  if (record->still_held) return;
  record->credential = nullptr;
  record->model = nullptr;
  record->serve_count = nullptr;
  free_.push_back(record);
}

void LeaseBook::SetNumber(LeaseRecord* record, uint64_t number) {
  record->number = number;
  record->standing = Standing::kKnown;
  by_number_[number] = record;
}

LeaseRecord* LeaseBook::Find(uint64_t number) const {
  const auto found = by_number_.find(number);
  return found == by_number_.end() ? nullptr : found->second;
}

void LeaseBook::ForEach(const std::function<void(LeaseRecord&)>& visit) {
  for (LeaseRecord& record : slab_) {
    if (record.place.load(std::memory_order_relaxed) != Place::kFree) visit(record);
  }
}

void LeaseBook::ForgetStream() {
  ForEach([](LeaseRecord& record) {
    if (record.standing == Standing::kKnown) record.standing = Standing::kAwaiting;
  });
  by_number_.clear();
  presented_.clear();
  by_index_.clear();
}

void LeaseBook::Present(LeaseRecord* record) {
  // A number no broker gives: its upper half counts leases, and would have to be all ones.
  while (record->number == 0 || presented_.contains(record->number)) {
    record->number = (uint64_t{0xffffffff} << 32) | ++last_invented_;
  }
  presented_[record->number] = record;
}

LeaseRecord* LeaseBook::TakePresented(uint64_t number) {
  const auto found = presented_.find(number);
  if (found == presented_.end()) return nullptr;
  LeaseRecord* record = found->second;
  presented_.erase(found);
  return record;
}

std::vector<LeaseRecord*> LeaseBook::TakeAllPresented() {
  std::vector<LeaseRecord*> all;
  all.reserve(presented_.size());
  for (const auto& [number, record] : presented_) all.push_back(record);
  presented_.clear();
  return all;
}

LeaseBook::NewMaterial LeaseBook::Announce(v1::SessionCredential* wire, const BrokerTime& time) {
  std::shared_ptr<const Material> material = ToMaterial(wire, time);
  std::shared_ptr<Credential>& known = by_uid_[material->credential_uid];
  std::shared_ptr<Credential>& named = by_index_[wire->credential()];
  if (known == nullptr) {
    known = std::make_shared<Credential>();
    known->material = std::move(material);  // nobody else has it yet
    named = known;
    return {known, nullptr};
  }
  // Within a stream versions only rise; another stream's first word replaces what is known, for its
  // ticket and its cap may be new.
  if (named == known && material->version < known->material->version) return {known, nullptr};
  named = known;
  return {known, std::move(material)};
}

const std::shared_ptr<Credential>& LeaseBook::ByIndex(uint32_t index) const {
  static const std::shared_ptr<Credential> kNone;
  const auto found = by_index_.find(index);
  return found == by_index_.end() ? kNone : found->second;
}

void LeaseBook::ForgetOrders() {
  for (auto& [uid, credential] : by_uid_) {
    credential->covers = 0;
    credential->model_covers.clear();
  }
  ForEach([](LeaseRecord& record) { record.order = 0; });
}

absl::flat_hash_set<const Credential*> LeaseBook::Named() const {
  absl::flat_hash_set<const Credential*> named;
  for (const auto& [index, credential] : by_index_) named.insert(credential.get());
  return named;
}

void LeaseBook::Prune() {
  const absl::flat_hash_set<const Credential*> named = Named();
  absl::erase_if(by_uid_, [&](const auto& entry) {
    return entry.second.use_count() == 1 && !named.contains(entry.second.get());
  });
}

std::shared_ptr<const std::string> LeaseBook::Intern(const std::string& name) {
  const auto found = names_.find(name);
  if (found != names_.end()) return found->second;
  auto copy = std::make_shared<const std::string>(name);
  if (names_.size() < kMaxNames) names_[name] = copy;
  return copy;
}

}  // namespace credbroker::client
