// The three-way merge: updates of what exists, and revivals of what was retired.
#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/import/field_values.h"
#include "server/import/plan.h"

namespace credbroker::import {
namespace {

using core::Secret;
using core::SecretMaterial;

struct SecretField {
  const char* name;
  Secret SecretMaterial::*member;
  bool of_login;  // a refresh replaces it
};
constexpr SecretField kSecretFields[] = {
    {"access_token", &SecretMaterial::access_token, true},
    {"refresh_token", &SecretMaterial::refresh_token, true},
    {"id_token", &SecretMaterial::id_token, true},
    {"api_key", &SecretMaterial::api_key, false},
    {"client_secret", &SecretMaterial::client_secret, false},
    {"service_account", &SecretMaterial::service_account, false},
    {"cookie", &SecretMaterial::cookie, false}};

// `changes` over `stored`; absent fields never remove one.
std::shared_ptr<SecretMaterial> Merge(const SecretMaterial& stored, const SecretMaterial* changes) {
  auto merged = std::make_shared<SecretMaterial>();
  static const SecretMaterial none;
  const SecretMaterial& over = changes != nullptr ? *changes : none;
  for (const SecretField& field : kSecretFields) {
    const Secret& value = over.*field.member;
    (*merged).*field.member = (value.empty() ? stored.*field.member : value).Clone();
  }
  for (const SecretMaterial* from : {&stored, &over}) {
    for (const auto& [name, value] : from->extra) merged->extra[name] = value.Clone();
  }
  merged->expire_time = over.expire_time;
  if (!over.expire_time && over.access_token.empty()) merged->expire_time = stored.expire_time;
  merged->version = stored.version + (changes != nullptr ? 1 : 0);
  return merged;
}

// What a new secret does to health, as Install does it for credentials that exist.
std::shared_ptr<const core::HealthRecord> HealthWithNewSecret(
    std::shared_ptr<const core::HealthRecord> before) {
  if (before == nullptr) return before;
  auto health = std::make_shared<core::HealthRecord>(*before);
  health->auth = core::AuthHealth::kOk;
  health->policy_cause = core::Cause::kNone;
  std::erase_if(health->records, [](const core::ScopedRecord& scoped) {
    switch (scoped.record.cause) {
      case core::Cause::kTokenRejected:
      case core::Cause::kForbidden:
      case core::Cause::kRefresh:
      case core::Cause::kExpired:
      case core::Cause::kUnconfirmed:
        return true;
      default:
        return false;
    }
  });
  return health;
}

// Headers that authenticate are secrets: a file without them, as an export is, removes none.
void KeepSecretHeaders(const core::Document& before, core::Document& document) {
  for (const auto& header : before.headers) {
    if (!IsSecretHeader(header.first)) continue;
    const bool there = std::any_of(
        document.headers.begin(), document.headers.end(),
        [&](const auto& each) { return absl::EqualsIgnoreCase(each.first, header.first); });
    if (!there) document.headers.push_back(header);
  }
}

}  // namespace

std::vector<std::string> Planner::MergeFields(const Entry& entry, const AppliedEntry* before,
                                              core::Document& document) const {
  const std::map<std::string, std::string>& now = entry.parsed->fields;
  static const std::map<std::string, std::string> nothing;
  const std::map<std::string, std::string>& then = before != nullptr ? before->fields : nothing;
  std::vector<std::string> candidates;
  for (const auto& [name, text] : now) {
    const auto old = then.find(name);
    if (old == then.end() || old->second != text) candidates.push_back(name);
  }
  for (const auto& [name, text] : then) {
    if (!now.contains(name)) candidates.push_back(name);
  }
  std::vector<std::string> taken;
  for (const std::string& name : candidates) {
    // A proxy with a password and headers that authenticate are left out of exports.
    const bool absent = !now.contains(name);
    if (absent && name == "proxy_url" && HasUserInfo(document.proxy_url)) continue;
    if (absent && name == "base_url" && HasUserInfo(document.base_url)) continue;
    core::Document next = document;
    TakeField(name, entry.parsed->document, next);
    if (name == "headers") KeepSecretHeaders(document, next);
    if (SameDocument(next, document)) continue;
    document = std::move(next);
    taken.push_back(name);
  }
  return taken;
}

std::shared_ptr<SecretMaterial> Planner::ChooseSecrets(
    const Entry& entry, const std::map<std::string, TokenBook::Hash>& base,
    const AppliedEntry* before, std::string& note) const {
  auto changed = [&](const std::string& name) {
    const auto now = entry.secrets.find(name);
    if (now == entry.secrets.end()) return false;
    const auto then = base.find(name);
    return then == base.end() || then->second != now->second;
  };
  // A login the broker refreshes: the file counts only when it brings another login.
  const std::optional<TokenBook::Hash> token = entry.refresh_token();
  const bool refreshed = options_.source.refresh_owner == RefreshOwner::kBroker &&
                         (token || base.contains("refresh_token"));
  const bool new_login =
      token && changed("refresh_token") && (before == nullptr || !before->Saw(*token));
  const SecretMaterial& from = *entry.parsed->secret;
  auto chosen = std::make_shared<SecretMaterial>();
  bool any = false, ignored = false;
  auto take = [&](const std::string& name, bool of_login) {
    const bool differs = changed(name);
    if (of_login && refreshed && !new_login) {
      ignored |= differs;
      return false;
    }
    // A login is one thing: its parts come together even where one of them is as before.
    const bool yes = differs || (of_login && refreshed && entry.secrets.contains(name));
    any |= yes;
    return yes;
  };
  for (const SecretField& field : kSecretFields) {
    if (take(field.name, field.of_login)) (*chosen).*field.member = (from.*field.member).Clone();
  }
  for (const auto& [name, value] : from.extra) {
    if (take(absl::StrCat("extra.", name), false)) chosen->extra[name] = value.Clone();
  }
  if (take("expire_time", true) || !chosen->access_token.empty()) {
    chosen->expire_time = from.expire_time;
  }
  if (ignored) {
    note =
        "tokens in the file are ignored: this broker refreshes the login, and the refresh token "
        "is not a new one";
  }
  return any ? chosen : nullptr;
}

void Planner::Remember(const Entry& entry, PlannedRow& row) const {
  AppliedEntry after;
  if (entry.applied != nullptr) after.seen = entry.applied->seen;
  after.id = entry.id;
  after.source = options_.source.name;
  after.path = entry.path;
  after.digest = entry.digest;
  after.fields = entry.parsed->fields;
  after.secrets = entry.secrets;
  after.applied = fleet_.Now();
  // What an absent secret was stays the base: it is still the one in use.
  if (entry.applied != nullptr) {
    after.secrets.insert(entry.applied->secrets.begin(), entry.applied->secrets.end());
  }
  if (const auto token = entry.refresh_token()) after.See(*token, after.applied);
  row.digests.push_back({.id = entry.id, .value = EncodeApplied(after)});
}

absl::StatusOr<PlannedRow> Planner::PlanUpdate(Entry& entry, const Fleet::Present& present) {
  PlannedRow row = NewRow(entry, Action::kUnchanged);
  const core::Document& old = *present.document;
  auto document = std::make_shared<core::Document>(old);
  row.result.changed_fields = MergeFields(entry, entry.applied, *document);

  std::map<std::string, TokenBook::Hash> base;
  if (entry.applied != nullptr) {
    base = entry.applied->secrets;
  } else {
    // Never applied from this file: what is stored is the base.
    auto stored = fleet_.ReadSecret(entry.id);
    if (stored.ok()) {
      base = SecretHashes(**stored, book_);
    } else if (absl::IsUnavailable(stored.status())) {
      return stored.status();
    }
  }
  std::string note;
  std::shared_ptr<SecretMaterial> secret = ChooseSecrets(entry, base, entry.applied, note);
  if (!note.empty()) {
    absl::StrAppend(&row.result.message, row.result.message.empty() ? "" : "; ", note);
  }
  document->external_refresh = options_.source.refresh_owner == RefreshOwner::kExternal;
  document->source = options_.source.name;
  document->source_path = entry.path;
  if (secret != nullptr) document->kind = entry.parsed->document.kind;

  const bool edited = !SameDocument(*document, old);
  if (absl::Status labels = fleet_.CheckLabels(&old, *document); !labels.ok()) {
    row.result.action = Action::kRejected;
    row.result.reason = Reason::kInvalidFile;
    row.result.message = std::string(labels.message());
    row.result.changed_fields.clear();
    return row;
  }
  if (edited || secret != nullptr) {
    if (edited) document->extra_json = entry.parsed->document.extra_json;
    core::Edit edit{.op = core::Edit::Op::kUpdate,
                    .why = secret != nullptr ? core::Why::kSecretReplaced : core::Why::kUpdated,
                    .id = entry.id,
                    .actor = options_.actor};
    edit.expect_uid = present.uid;
    edit.expect_revision = old.revision;
    if (edited) edit.document = std::move(document);
    if (secret != nullptr) {
      row.result.changed_fields.push_back("secret");
      if (!secret->refresh_token.empty()) {
        row.own = entry.refresh_token();
        if (const auto at = base.find("refresh_token"); at != base.end()) {
          if (at->second != *row.own) row.disown = at->second;
        }
      }
      edit.secret = std::move(secret);
    }
    row.edit = std::move(edit);
    row.result.action = Action::kUpdated;
  }
  Remember(entry, row);
  return row;
}

absl::StatusOr<PlannedRow> Planner::PlanRevival(Entry& entry, const AppliedEntry& before) {
  auto retired = fleet_.ReadRetired(before.id);
  if (!retired.ok()) return retired.status();
  const bool renamed = before.id != entry.id;
  const bool other = *retired && (*retired)->document->provider != entry.parsed->document.provider;
  if (!*retired || (*retired)->document == nullptr || other) {
    PlannedRow row = PlanCreation(entry, options_.dry_run ? Action::kRevived : Action::kCreated);
    row.revived = PrimaryHash(before.secrets);
    if (renamed) row.digests.push_back({.id = before.id, .value = std::nullopt});
    return row;
  }
  const Retired& was = **retired;
  PlannedRow row = NewRow(entry, Action::kRevived);
  Entry merged = entry;  // Remember() goes on from the record of the old name
  merged.applied = &before;
  auto document = std::make_shared<core::Document>(*was.document);
  document->id = entry.id;
  row.result.changed_fields = MergeFields(merged, &before, *document);
  document->source_path = entry.path;
  document->external_refresh = options_.source.refresh_owner == RefreshOwner::kExternal;

  std::string note;
  std::shared_ptr<SecretMaterial> changes = ChooseSecrets(merged, before.secrets, &before, note);
  core::Edit edit{.op = core::Edit::Op::kCreate,
                  .why = core::Why::kRevived,
                  .id = entry.id,
                  .actor = options_.actor};
  if (was.secret != nullptr) {
    edit.secret = Merge(*was.secret, changes.get());
  } else if (entry.parsed->has_secret) {
    edit.secret = entry.parsed->secret;
  }
  if (changes != nullptr) {
    document->kind = entry.parsed->document.kind;
    row.result.changed_fields.push_back("secret");
  }
  edit.document = std::move(document);
  edit.intent = was.intent;
  edit.revive_uid = was.uid;
  edit.revive_health = changes != nullptr ? HealthWithNewSecret(was.health) : was.health;
  // The token in use may be a later one than the file's: both are this credential's.
  if (edit.secret != nullptr && !edit.secret->refresh_token.empty()) {
    row.own = book_.HashOf(edit.secret->refresh_token);
  }
  row.edit = std::move(edit);
  row.revived = PrimaryHash(before.secrets);
  if (renamed) {
    row.digests.push_back({.id = before.id, .value = std::nullopt});
    row.result.message = absl::StrCat("was ", before.id, " before");
  }
  Remember(merged, row);
  return row;
}

}  // namespace credbroker::import
