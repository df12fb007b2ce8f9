#include "server/session/target_table.h"

#include <algorithm>

#include "core/model_rules.h"
#include "server/rpc/convert.h"
#include "server/rpc/validate.h"

namespace credbroker::session {

absl::string_view SuffixOf(absl::string_view model) {
  const absl::string_view canonical = core::CanonicalModel(model);
  const auto end = static_cast<size_t>(canonical.data() - model.data()) + canonical.size();
  return canonical.size() < model.size() ? model.substr(end) : absl::string_view();
}

namespace {

// As session.proto says.
size_t BytesOf(const v1::SessionTarget& target) {
  size_t bytes = 256 + target.group().size() + target.model().size();
  for (const std::string& provider : target.providers()) bytes += 64 + provider.size();
  for (const auto& [key, value] : target.labels()) bytes += 64 + key.size() + value.size();
  return bytes;
}

}  // namespace

bool TargetTable::Define(const v1::SessionTarget& target, core::SessionId session) {
  const Target* const before = Find(target.target());
  const size_t others = bytes_ - (before == nullptr ? 0 : BytesOf(before->declared));
  const size_t bytes = others + BytesOf(target);
  if (bytes > kMaxBytes) return false;
  std::unique_ptr<Target>& place = targets_[target.target()];
  place = std::make_unique<Target>();
  place->declared = target;
  const v1::SessionTarget& declared = place->declared;
  place->providers.assign(declared.providers().begin(), declared.providers().end());
  for (const auto& [key, value] : declared.labels()) place->labels.emplace_back(key, value);
  // A map has no order; the command of a repeated request_id must compare equal.
  std::sort(place->labels.begin(), place->labels.end());
  core::AcquireCommand& command = place->stock;
  command.principal = principal_;
  command.group = declared.group();
  command.providers = place->providers;
  command.model = declared.model();
  command.kind = rpc::ToKind(declared.kind());
  command.labels = place->labels;
  if (declared.has_ttl()) command.ttl = rpc::ToDuration(declared.ttl());
  command.session = session;
  command.for_stock = true;
  place->suffix = std::string(SuffixOf(declared.model()));
  bytes_ = bytes;
  return true;
}

const TargetTable::Target* TargetTable::Find(uint32_t target) const {
  const auto found = targets_.find(target);
  return found == targets_.end() ? nullptr : found->second.get();
}

core::AcquireCommand TargetTable::CommandFor(const Target& target,
                                             const v1::AcquireRequest& request,
                                             std::vector<absl::string_view>& excluded) {
  core::AcquireCommand command = target.stock;
  command.for_stock = false;
  command.session_key = request.session_key();
  command.credential_id = request.credential_id();
  command.request_id = request.request_id();
  excluded.assign(request.excluded_credential_ids().begin(),
                  request.excluded_credential_ids().end());
  command.excluded = excluded;
  if (request.has_ttl()) command.ttl = rpc::ToDuration(request.ttl());
  if (request.has_max_wait()) command.max_wait = rpc::ToDuration(request.max_wait());
  return command;
}

}  // namespace credbroker::session
