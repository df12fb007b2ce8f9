#include "client/session/doubt.h"

#include <algorithm>

#include "client/session/record.h"

namespace credbroker::client {

Doubt DoubtOf(const v1::ReportItem& item) {
  switch (item.outcome()) {
    case v1::OUTCOME_UNSPECIFIED:
      break;
    case v1::OUTCOME_RATE_LIMITED:
    case v1::OUTCOME_QUOTA_EXHAUSTED:
    case v1::OUTCOME_UNAUTHENTICATED:
    case v1::OUTCOME_FORBIDDEN:
    case v1::OUTCOME_CHALLENGE:
      return Doubt::kCredential;
    case v1::OUTCOME_MODEL_NOT_FOUND:
      return Doubt::kModel;
    case v1::OUTCOME_TRANSIENT:
      return Doubt::kTransient;
    default:
      return Doubt::kNone;
  }
  switch (item.http_status()) {
    case 401:
    case 402:
    case 403:
    case 429:
      return Doubt::kCredential;
    case 404:
      return Doubt::kModel;
    case 408:
      return Doubt::kTransient;
    case 529:  // the provider's, not the credential's
      return Doubt::kNone;
    default:
      return item.http_status() >= 500 ? Doubt::kTransient : Doubt::kNone;
  }
}

void Doubts::Raise(const std::string& model, Doubt doubt) {
  MutexLock lock(mutex_);
  const auto found = std::find_if(models_.begin(), models_.end(),
                                  [&](const auto& entry) { return entry.first == model; });
  if (found == models_.end()) {
    models_.emplace_back(model, 1);
  } else {
    ++found->second;
  }
  if (doubt == Doubt::kCredential) serious_.fetch_add(1, std::memory_order_acq_rel);
  all_.fetch_add(1, std::memory_order_acq_rel);
}

void Doubts::Settle(const std::string& model, Doubt doubt) {
  MutexLock lock(mutex_);
  all_.fetch_sub(1, std::memory_order_acq_rel);
  if (doubt == Doubt::kCredential) serious_.fetch_sub(1, std::memory_order_acq_rel);
  const auto found = std::find_if(models_.begin(), models_.end(),
                                  [&](const auto& entry) { return entry.first == model; });
  if (--found->second == 0) models_.erase(found);
}

bool Doubts::Withhold(const std::string& model) const {
  if (all_.load(std::memory_order_acquire) == 0) return false;  // nearly always
  MutexLock lock(mutex_);
  return std::any_of(models_.begin(), models_.end(),
                     [&](const auto& entry) { return entry.first == model; });
}

DoubtHold::DoubtHold(std::shared_ptr<Credential> credential,
                     std::shared_ptr<const std::string> model, Doubt doubt)
    : credential_(std::move(credential)), model_(std::move(model)), doubt_(doubt) {
  credential_->doubts.Raise(*model_, doubt_);
}

DoubtHold::~DoubtHold() { credential_->doubts.Settle(*model_, doubt_); }

}  // namespace credbroker::client
