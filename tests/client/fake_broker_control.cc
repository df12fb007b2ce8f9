// The test's side of FakeBroker.
#include <utility>

#include "tests/client/fake_broker.h"

namespace credbroker::client {

// --- What a test arranges ---

void FakeBroker::Add(const std::string& id, Credential credential) {
  const std::lock_guard<std::mutex> lock(mutex_);
  credentials_[id] = credential;
}

void FakeBroker::SetReachable(bool reachable) {
  const std::lock_guard<std::mutex> lock(mutex_);
  reachable_ = reachable;
}

void FakeBroker::SetAnswering(bool answering) {
  const std::lock_guard<std::mutex> lock(mutex_);
  answering_ = answering;
  if (!answering || unanswered_.ByteSizeLong() == 0) return;
  Answer(std::exchange(unanswered_, {}));
}

void FakeBroker::SetForgetful(bool forgetful) {
  const std::lock_guard<std::mutex> lock(mutex_);
  forgetful_ = forgetful;
}

void FakeBroker::Restart() {
  const std::lock_guard<std::mutex> lock(mutex_);
  leases_.clear();
  session_id_.clear();
  last_lease_ += uint64_t{1} << 40;
  last_order_ = 0;
}

void FakeBroker::RefuseStock(const std::string& reason) {
  const std::lock_guard<std::mutex> lock(mutex_);
  refuse_stock_ = reason;
}

void FakeBroker::RefuseAcquires(int code, const std::string& reason) {
  const std::lock_guard<std::mutex> lock(mutex_);
  refuse_code_ = code;
  refuse_reason_ = reason;
}

void FakeBroker::HoldAcquires(bool hold) {
  const std::lock_guard<std::mutex> lock(mutex_);
  hold_acquires_ = hold;
}

void FakeBroker::RevokeLimited(bool revoke) {
  const std::lock_guard<std::mutex> lock(mutex_);
  revoke_limited_ = revoke;
}

void FakeBroker::RefuseResume(const std::string& credential) {
  const std::lock_guard<std::mutex> lock(mutex_);
  refuse_resume_.insert(credential);
}

uint64_t FakeBroker::Revoke(const std::string& id, v1::SessionRevocationReason reason,
                            const std::string& model) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (model.empty()) credentials_[id].available = false;
  v1::SessionResponse response;
  AddRevocation(id, reason, model, &response);
  Answer(std::move(response));
  return last_revocation_;
}

void FakeBroker::Renew(const std::string& id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  credentials_[id].available = true;
  ++credentials_[id].version;
  v1::SessionResponse response;
  Announce(id, &response);
  Answer(std::move(response));
}

void FakeBroker::EndLease(uint64_t lease) {
  const std::lock_guard<std::mutex> lock(mutex_);
  v1::SessionResponse response;
  v1::SessionRevocation* revocation = response.add_revocations();
  revocation->set_number(++last_revocation_);
  revocation->set_lease(lease);
  revocation->set_reason(v1::SESSION_REVOCATION_REASON_LEASE_ENDED);
  End(lease);
  Answer(std::move(response));
}

void FakeBroker::Send(v1::SessionResponse response) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Answer(std::move(response));
}

void FakeBroker::set_epoch(int64_t epoch) {
  const std::lock_guard<std::mutex> lock(mutex_);
  epoch_ = epoch;
}

void FakeBroker::OnAcknowledged(std::function<void(uint64_t)> seen) {
  const std::lock_guard<std::mutex> lock(mutex_);
  on_acknowledged_ = std::move(seen);
}

// --- What it saw ---

int FakeBroker::opened() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return opened_;
}
bool FakeBroker::open() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return open_;
}
std::string FakeBroker::last_owner() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return last_owner_;
}
std::vector<v1::SessionRequest> FakeBroker::TakeWritten() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(written_, {});
}
std::map<uint64_t, FakeBroker::Lease> FakeBroker::leases() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return leases_;
}
std::vector<uint64_t> FakeBroker::succeeded() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return succeeded_;
}
std::vector<v1::SessionReport> FakeBroker::reports() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return reports_;
}
std::vector<v1::SessionResumedLease> FakeBroker::last_hello() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return last_hello_;
}
size_t FakeBroker::adopted() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return adopted_;
}
size_t FakeBroker::released() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return released_;
}
size_t FakeBroker::expired() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return expired_;
}
uint64_t FakeBroker::acknowledged() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return acknowledged_;
}
bool FakeBroker::woken() {
  const std::lock_guard<std::mutex> lock(queue_mutex_);
  return woken_;
}
bool FakeBroker::half_closed() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return half_closed_;
}
uint64_t FakeBroker::last_order() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return last_order_;
}
uint64_t FakeBroker::last_lease() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return last_lease_;
}

}  // namespace credbroker::client
