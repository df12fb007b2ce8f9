#include "client/session/serve_last.h"

#include <algorithm>

#include "credbroker/client/error.h"

namespace credbroker::client {

void ServeLast::Granted(const LeaseRecord& record) {
  if (record.credential->material->capped || record.target == 0) return;
  Entry& entry = entries_[record.target];
  for (Known& known : entry.known) {
    if (known.credential == record.credential && *known.model == *record.model) {
      known.order = std::max(known.order, record.order);
      return;
    }
  }
  Known known{record.credential, record.model, record.order};
  if (entry.known.size() < kRemembered) {
    entry.known.push_back(std::move(known));
  } else {
    entry.known[entry.oldest] = std::move(known);
    entry.oldest = (entry.oldest + 1) % kRemembered;
  }
}

absl::StatusOr<ServeLast::Served> ServeLast::Serve(TargetId id, const Target& target,
                                                   const v1::AcquireRequest& request, int64_t now) {
  Entry& entry = entries_[id];
  if (*entry.in_use >= target.max_serve_last) {
    return LocalError(LocalReason::kServeLastBusy,
                      "the broker is away and max_serve_last leases are in use");
  }
  for (size_t i = 0; i < entry.known.size(); ++i) {
    const Known& known = entry.known[(entry.next + i) % entry.known.size()];
    const Material& material = *known.credential->material;
    if (material.capped || known.credential->doubts.Serious()) continue;
    if (material.expire_boot_ns != 0 && material.expire_boot_ns <= now) continue;
    if (!request.credential_id().empty() && request.credential_id() != material.credential_id) {
      continue;
    }
    const auto& excluded = request.excluded_credential_ids();
    if (std::find(excluded.begin(), excluded.end(), material.credential_id) != excluded.end()) {
      continue;
    }
    entry.next = (entry.next + i + 1) % entry.known.size();
    ++*entry.in_use;
    return Served{known, entry.in_use};
  }
  return LocalError(LocalReason::kNothingToServe,
                    "the broker is away and no usable material is known");
}

void ServeLast::ForgetIf(const std::function<bool(const Known&)>& gone) {
  for (auto& [id, entry] : entries_) {
    if (std::erase_if(entry.known, gone) > 0) entry.oldest = entry.next = 0;
  }
}

void ServeLast::ForgetOrders() {
  for (auto& [id, entry] : entries_) {
    for (Known& known : entry.known) known.order = 0;
  }
}

}  // namespace credbroker::client
