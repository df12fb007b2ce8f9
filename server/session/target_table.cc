#include "server/session/target_table.h"

#include "core/model_rules.h"
#include "server/rpc/validate.h"

namespace credbroker::session {

absl::string_view SuffixOf(absl::string_view model) {
  const absl::string_view canonical = core::CanonicalModel(model);
  const auto end = static_cast<size_t>(canonical.data() - model.data()) + canonical.size();
  return canonical.size() < model.size() ? model.substr(end) : absl::string_view();
}

void TargetTable::Define(const v1::SessionTarget& target, core::SessionId session) {
  std::unique_ptr<Target>& place = targets_[target.target()];
  place = std::make_unique<Target>();
  v1::AcquireRequest& request = place->request;
  request.set_group(target.group());
  *request.mutable_providers() = target.providers();
  request.set_model(target.model());
  request.set_kind(target.kind());
  *request.mutable_labels() = target.labels();
  if (target.has_ttl()) *request.mutable_ttl() = target.ttl();
  place->arguments.emplace(request, principal_, absl::ZeroDuration());
  place->stock = place->arguments->command();
  place->stock.session = session;
  place->stock.for_stock = true;
  place->suffix = std::string(SuffixOf(request.model()));
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
