// Edits, settings and restarts.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/model/naive_pool.h"

namespace credbroker::model {

using core::AuthHealth;
using core::Cause;

NaivePool::NaivePool(core::Settings settings, uint64_t seed)
    : settings_(std::move(settings)), seed_(seed) {
  groups_.insert("default");
  for (const auto& g : settings_.groups) groups_.insert(g.name);
  for (const auto& p : settings_.providers) providers_[p.name];
}

bool NaivePool::Plain(const core::Document& d) {
  return d.prefix.empty() && d.models.empty() && d.excluded_models.empty() &&
         d.model_aliases.empty();
}

// A credential leaves its place in its group's indexes, perhaps to come back at once.
void NaivePool::Leave(const NaiveCredential& c) {
  const std::string group = c.document->group;
  if (!Plain(*c.document)) Shaken(group);
  for (auto it = cursors_.begin(); it != cursors_.end();) {
    const Cursor& cursor = it->second;
    bool others = false;
    for (const auto& [id, other] : credentials_) {
      const auto& d = *other.document;
      std::string upstream;
      if (other.uid == c.uid || d.group != cursor.group || d.priority != cursor.priority) continue;
      bool fits = std::find(cursor.providers.begin(), cursor.providers.end(), d.provider) !=
                      cursor.providers.end() &&
                  (!cursor.kind || *cursor.kind == d.kind) && Serves(d, cursor.model, &upstream);
      for (const auto& label : cursor.labels) {
        fits = fits && std::find(d.labels.begin(), d.labels.end(), label) != d.labels.end();
      }
      others = others || fits;
    }
    // A tier without members is forgotten, its cursor with it.
    it = cursor.group == group && !others ? cursors_.erase(it) : std::next(it);
  }
}

void NaivePool::Shaken(const std::string& group) {
  shaken_.insert(group);
  for (auto& [name, cursor] : cursors_) {
    if (cursor.group == group) cursor.at.clear();
  }
}

void NaivePool::Installed(const core::RowEdit& row, const core::Effects& effects) {
  if (row.op == core::Edit::Op::kCreate) {
    NaiveCredential& c = credentials_[row.id];
    c = NaiveCredential();
    c.uid = row.uid.number();
    c.document = row.document;
    if (row.intent) c.intent = *row.intent;
    c.material = row.material;
    if (row.material == nullptr) c.auth = AuthHealth::kReauthRequired;
    c.egress_join = ++joins_;
    groups_.insert(c.document->group);
    providers_[c.document->provider];
    BreakerOf(c);
    if (!Plain(*c.document)) Shaken(c.document->group);
  } else if (row.op == core::Edit::Op::kDelete) {
    NaiveCredential& c = credentials_.at(row.id);
    while (!c.leases.empty()) EndLease(leases_.at(*c.leases.rbegin()));
    Leave(c);
    const std::string proxy = c.document->proxy_url;
    credentials_.erase(row.id);
    bool used = false;
    for (const auto& [id, other] : credentials_) used = used || other.document->proxy_url == proxy;
    if (!used) egress_.erase(proxy);
  } else {
    NaiveCredential& c = credentials_.at(row.id);
    if (row.intent) c.intent = *row.intent;
    if (row.intent && !row.intent->enabled) disabling_.insert(c.uid);
    if (row.material != nullptr) c.material = row.material;
    if (row.secret != nullptr || row.reset) {
      for (auto& [model, scope] : c.scopes) {
        if (row.reset) scope.Erase(Cause::kNone, row.prepared);
        for (Cause cause : {Cause::kTokenRejected, Cause::kForbidden, Cause::kRefresh,
                            Cause::kExpired, Cause::kUnconfirmed}) {
          scope.Erase(cause, row.prepared);
        }
      }
      DropEmpty(c);
      const bool by_policy = c.auth == AuthHealth::kDisabledByPolicy;
      if (row.secret != nullptr || (by_policy && c.policy_since < row.prepared)) {
        c.auth = AuthHealth::kOk;
        c.policy_cause = Cause::kNone;
      }
    }
    if (row.document != nullptr) {
      Leave(c);
      const std::string before = c.document->proxy_url;
      c.document = row.document;
      groups_.insert(c.document->group);
      BreakerOf(c);
      if (before != c.document->proxy_url) {
        c.egress_join = ++joins_;
        bool used = false;
        for (const auto& [id, other] : credentials_) {
          used = used || other.document->proxy_url == before;
        }
        if (!used) egress_.erase(before);
      }
      if (!Plain(*c.document)) Shaken(c.document->group);
    }
  }
  Woken(effects);
  NobodyServable();
}

void NaivePool::Configured(const core::Settings& settings, const core::Effects& effects) {
  std::map<std::string, std::pair<int, int>> caps;
  std::map<std::string, core::Strategy> strategies;
  for (const auto& [id, c] : credentials_) caps[id] = {CapOf(c), ModelCapOf(c)};
  for (const auto& g : groups_) strategies[g] = SettingsOf(g).strategy;
  settings_ = settings;
  for (const auto& g : settings_.groups) groups_.insert(g.name);
  for (const auto& p : settings_.providers) providers_[p.name];
  for (const auto& g : groups_) {
    auto before = strategies.find(g);
    if (before == strategies.end() || before->second == SettingsOf(g).strategy) continue;
    std::erase_if(cursors_, [&](const auto& entry) { return entry.second.group == g; });
    shaken_.erase(g);
  }
  for (const auto& [id, c] : credentials_) {
    if (caps[id] != std::make_pair(CapOf(c), ModelCapOf(c))) Leave(c);
  }
  Woken(effects);
  NobodyServable();
}

void NaivePool::Restarted(uint64_t epoch, absl::Time resume_only_until) {
  const core::Settings settings = settings_;
  const uint64_t seed = seed_;
  const absl::Time now = now_;
  *this = NaivePool(settings, seed);
  epoch_ = epoch;
  now_ = now;
  resume_only_until_ = resume_only_until;
}

void NaivePool::Loaded(uint64_t uid, std::shared_ptr<const core::Document> document,
                       std::optional<core::Intent> intent,
                       std::shared_ptr<const core::Material> material,
                       const core::HealthRecord* health) {
  NaiveCredential& c = credentials_[document->id];
  c.uid = uid;
  c.document = std::move(document);
  if (intent) c.intent = *intent;
  c.material = std::move(material);
  c.egress_join = ++joins_;
  if (health != nullptr) {
    c.auth = health->auth;
    c.policy_cause = health->policy_cause;
    c.policy_since = health->policy_since;
    for (const auto& r : health->records) {
      if (r.record.avoid_until + absl::Hours(24) <= now_) continue;
      ScopeFor(c, r.model).records.push_back(r.record);
    }
    c.windows = health->windows;
  }
  groups_.insert(c.document->group);
  providers_[c.document->provider];
  BreakerOf(c);
}

void NaivePool::LoadedBackoff(const core::BackoffRecord& record) {
  if (record.record.avoid_until + absl::Hours(24) <= now_) return;
  if (record.egress.empty()) {
    providers_[record.provider].backoffs[record.model].records.push_back(record.record);
  } else if (auto it = egress_.find(record.egress); it != egress_.end()) {
    it->second.backoff.records.push_back(record.record);
  }
}

}  // namespace credbroker::model
