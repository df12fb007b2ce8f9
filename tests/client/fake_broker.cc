#include "tests/client/fake_broker.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/session/wire_time.h"
#include "google/rpc/error_details.pb.h"

namespace credbroker::client {
namespace {

void SetRefusal(google::rpc::Status* status, int code, const std::string& reason) {
  status->set_code(code);
  status->set_message("refused");
  google::rpc::ErrorInfo info;
  info.set_domain("credbroker");
  info.set_reason(reason);
  status->add_details()->PackFrom(info);
}

std::string TicketOf(const std::string& id) { return "ticket-" + id; }

}  // namespace

FakeBroker::FakeBroker(const Clock& clock, bool clock_runs)
    : clock_(clock), clock_runs_(clock_runs) {}

absl::Time FakeBroker::Now() const {
  return absl::FromUnixSeconds(kStartSeconds) + absl::Nanoseconds(clock_.BootNanos());
}

void FakeBroker::Queue(Event event) {
  const std::lock_guard<std::mutex> lock(queue_mutex_);
  events_.push_back(std::move(event));
  changed_.notify_all();
}

void FakeBroker::Answer(v1::SessionResponse response) {
  if (!open_) return;  // there is nobody
  if (!answering_) {
    unanswered_.MergeFrom(response);
    return;
  }
  Queue({StreamEvent::Kind::kMessage, std::move(response), {}});
}

void FakeBroker::Open(const std::string& owner) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++opened_;
  last_owner_ = owner;
  half_closed_ = false;
  indexes_.clear();
  announced_.clear();
  targets_.clear();
  unanswered_.Clear();
  if (!reachable_) {
    Queue({StreamEvent::Kind::kClosed, {}, absl::UnavailableError("connection refused")});
    return;
  }
  open_ = true;
  Queue({StreamEvent::Kind::kOpened, {}, {}});
}

void FakeBroker::Break(absl::Status status) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!open_) return;
  open_ = false;
  unanswered_.Clear();
  {
    const std::lock_guard<std::mutex> queue_lock(queue_mutex_);
    events_.clear();
  }
  Queue({StreamEvent::Kind::kClosed, {}, std::move(status)});
}

void FakeBroker::Abort() { Break(absl::CancelledError("aborted")); }

void FakeBroker::CloseWrites() {
  const std::lock_guard<std::mutex> lock(mutex_);
  half_closed_ = true;
  open_ = false;
  leases_.clear();
  session_id_.clear();
  Queue({StreamEvent::Kind::kClosed, {}, absl::OkStatus()});
}

StreamEvent FakeBroker::Poll(absl::Duration timeout) {
  std::unique_lock<std::mutex> lock(queue_mutex_);
  const auto ready = [&] { return woken_ || !events_.empty(); };
  if (clock_runs_) changed_.wait_for(lock, absl::ToChronoNanoseconds(timeout), ready);
  woken_ = false;
  StreamEvent event;
  if (events_.empty()) return event;
  current_ = std::move(events_.front());
  events_.pop_front();
  event.kind = current_.kind;
  event.message = &current_.message;
  event.status = current_.status;
  return event;
}

void FakeBroker::Wake() {
  const std::lock_guard<std::mutex> lock(queue_mutex_);
  woken_ = true;
  changed_.notify_all();
}

uint32_t FakeBroker::Announce(const std::string& id, v1::SessionResponse* response) {
  uint32_t& index = indexes_[id];
  if (index == 0) index = static_cast<uint32_t>(indexes_.size());
  const Credential& known = credentials_[id];
  if (announced_[id] == known.version) return index;
  announced_[id] = known.version;
  v1::SessionCredential* wire = response->add_credentials();
  wire->set_credential(index);
  wire->set_credential_id(id);
  wire->set_credential_uid("uid-" + id);
  wire->set_group("default");
  wire->set_provider("openai");
  v1::Header* header = wire->add_request_headers();
  header->set_name("authorization");
  header->set_value(absl::StrCat("Bearer ", id, " v", known.version));
  wire->set_material_version(known.version);
  if (known.material_expires != absl::InfiniteFuture()) {
    ToWire(known.material_expires, wire->mutable_material_expire_time());
  }
  wire->set_ticket(TicketOf(id));
  wire->set_capped(known.capped);
  return index;
}

std::string FakeBroker::Choose(const v1::AcquireRequest& request, bool for_stock) {
  // By turns, beginning after the last one.
  std::string first;
  std::string next;
  for (const auto& [id, credential] : credentials_) {
    if (!credential.available || (for_stock && credential.capped)) continue;
    if (!request.credential_id().empty() && id != request.credential_id()) continue;
    const auto& excluded = request.excluded_credential_ids();
    if (std::find(excluded.begin(), excluded.end(), id) != excluded.end()) continue;
    if (first.empty()) first = id;
    if (next.empty() && id > last_chosen_) next = id;
  }
  last_chosen_ = next.empty() ? first : next;
  return last_chosen_;
}

uint64_t FakeBroker::Grant(const std::string& id, const std::string& model) {
  const uint64_t number = ++last_lease_;
  leases_[number] = {id, model, ++last_order_};
  return number;
}

void FakeBroker::Prefetch(const v1::SessionPrefetch& prefetch, v1::SessionResponse* response) {
  const v1::SessionTarget& target = targets_[prefetch.target()];
  v1::SessionStock* stock = response->add_stocks();
  stock->set_target(prefetch.target());
  for (uint32_t i = 0; i < prefetch.count(); ++i) {
    const std::string id = refuse_stock_.empty() ? Choose({}, true) : "";
    if (id.empty()) {
      stock->set_refused(prefetch.count() - i);
      SetRefusal(stock->mutable_refusal(), 8, refuse_stock_.empty() ? "COOLING" : refuse_stock_);
      break;
    }
    stock->add_credentials(Announce(id, response));
    stock->add_leases(Grant(id, target.model()));
  }
  stock->add_models(target.model());
  stock->set_order(last_order_);
  ToWire(Now(), stock->mutable_grant_time());
  ToWire(Now() + FromWire(target.ttl()), stock->mutable_expire_time());
}

void FakeBroker::Acquire(const v1::SessionAcquire& acquire, v1::SessionResponse* response) {
  v1::SessionGrant* grant = response->add_grants();
  grant->set_call(acquire.call());
  const std::string id = refuse_code_ == 0 ? Choose(acquire.request(), false) : "";
  if (id.empty()) {
    SetRefusal(grant->mutable_refusal(), refuse_code_ == 0 ? 8 : refuse_code_,
               refuse_code_ == 0 ? "COOLING" : refuse_reason_);
    return;
  }
  grant->set_credential(Announce(id, response));
  grant->set_lease(Grant(id, acquire.request().model()));
  grant->set_model(acquire.request().model());
  grant->set_order(last_order_);
  ToWire(Now(), grant->mutable_grant_time());
  ToWire(Now() + FromWire(acquire.request().ttl()), grant->mutable_expire_time());
}

void FakeBroker::Resume(const v1::SessionHello& hello, v1::SessionResponse* response) {
  std::map<uint64_t, Lease> kept;
  const bool known = hello.session_id() == session_id_;
  last_hello_.insert(last_hello_.end(), hello.leases().begin(), hello.leases().end());
  for (const v1::SessionResumedLease& lease : hello.leases()) {
    v1::SessionResumption* answer = response->add_resumptions();
    answer->set_old_lease(lease.lease());
    const auto found = leases_.find(lease.lease());
    std::string id;
    for (const auto& [name, credential] : credentials_) {
      if (lease.ticket() == TicketOf(name)) id = name;
    }
    if (id.empty() || refuse_resume_.contains(id)) continue;
    if (known && found != leases_.end()) {
      kept[lease.lease()] = found->second;
      answer->set_lease(lease.lease());
    } else {
      const uint64_t number = ++last_lease_;
      kept[number] = {id, lease.model(), ++last_order_};
      answer->set_lease(number);
    }
    answer->set_credential(Announce(id, response));
    answer->set_order(last_order_);
  }
  released_ += leases_.size() > kept.size() ? leases_.size() - kept.size() : 0;
  leases_ = std::move(kept);
}

void FakeBroker::Welcome(const v1::SessionRequest& request, v1::SessionResponse* response) {
  last_hello_.clear();
  v1::SessionWelcome* welcome = response->mutable_welcome();
  welcome->set_resumed(!session_id_.empty() && request.hello().session_id() == session_id_);
  Resume(request.hello(), response);
  if (!welcome->resumed()) session_id_ = absl::StrCat("session-", ++sessions_);
  welcome->set_session_id(session_id_);
  welcome->mutable_ttl()->set_seconds(15);
  welcome->mutable_grace()->set_seconds(15);
  welcome->mutable_ping_interval()->set_seconds(5);
  welcome->mutable_cancel_within()->set_seconds(5);
  welcome->set_epoch(epoch_);
  ToWire(Now(), welcome->mutable_now());
}

void FakeBroker::Write(const v1::SessionRequest& request) {
  std::function<void(uint64_t)> tell;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!open_) return;
    if (!forgetful_) written_.push_back(request);
    Queue({StreamEvent::Kind::kWritten, {}, {}});
    v1::SessionResponse response;
    response.set_processed(request.number());
    if (request.has_hello()) Welcome(request, &response);
    for (const v1::SessionTarget& target : request.targets()) targets_[target.target()] = target;
    if (request.acknowledged_revocation() > acknowledged_) {
      acknowledged_ = request.acknowledged_revocation();
      tell = on_acknowledged_;
    }
    for (const uint64_t lease : request.succeeded_leases()) {
      if (!forgetful_) succeeded_.push_back(lease);
      End(lease);
    }
    for (const v1::SessionReport& report : request.reports()) {
      reports_.push_back(report);
      v1::SessionReportResult* result = response.add_results();
      result->set_lease(report.lease());
      result->mutable_result()->set_disposition(
          report.item().early() ? v1::REPORT_DISPOSITION_NOTED : v1::REPORT_DISPOSITION_ACCEPTED);
      result->mutable_result()->set_advice(v1::ADVICE_RETRY_OTHER);
      if (!report.item().early()) End(report.lease());
    }
    for (const uint64_t lease : request.released_leases()) {
      ++released_;
      End(lease);
    }
    expired_ += request.expired_count();
    for (const v1::SessionRenew& renew : request.renewals()) {
      v1::SessionRenewal* answer = response.add_renewals();
      answer->set_lease(renew.lease());
      ToWire(Now() + FromWire(renew.ttl()), answer->mutable_expire_time());
    }
    for (const v1::SessionPrefetch& prefetch : request.prefetches()) Prefetch(prefetch, &response);
    for (const v1::SessionAcquire& acquire : request.acquires()) {
      if (!hold_acquires_) Acquire(acquire, &response);
    }
    if (request.ping() != 0) response.set_pong(request.ping());
    Answer(std::move(response));
  }
  if (tell) tell(request.acknowledged_revocation());
}

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

void FakeBroker::RefuseResume(const std::string& credential) {
  const std::lock_guard<std::mutex> lock(mutex_);
  refuse_resume_.insert(credential);
}

uint64_t FakeBroker::Revoke(const std::string& id, v1::SessionRevocationReason reason,
                            const std::string& model) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (model.empty()) credentials_[id].available = false;
  v1::SessionResponse response;
  v1::SessionRevocation* revocation = response.add_revocations();
  revocation->set_number(++last_revocation_);
  revocation->set_credential(Announce(id, &response));
  revocation->set_model(model);
  revocation->set_covers(last_order_);
  revocation->set_reason(reason);
  revocation->set_cause(v1::CAUSE_RATE_LIMITED);
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
