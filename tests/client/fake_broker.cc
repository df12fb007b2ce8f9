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

std::string FakeBroker::Proved(const v1::SessionResumedLease& lease) const {
  for (const auto& [name, credential] : credentials_) {
    if (lease.ticket() == TicketOf(name)) return refuse_resume_.contains(name) ? "" : name;
  }
  return "";
}

void FakeBroker::Adopt(const v1::SessionRequest& request, v1::SessionResponse* response) {
  for (const v1::SessionResumedLease& lease : request.served_leases()) {
    v1::SessionResumption* answer = response->add_resumptions();
    answer->set_old_lease(lease.lease());
    const std::string id = Proved(lease);
    if (id.empty()) continue;
    answer->set_lease(Grant(id, lease.model()));
    answer->set_credential(Announce(id, response));
    answer->set_order(last_order_);
    ++adopted_;
  }
}

void FakeBroker::Resume(const v1::SessionHello& hello, v1::SessionResponse* response) {
  std::map<uint64_t, Lease> kept;
  const bool known = hello.session_id() == session_id_;
  last_hello_.insert(last_hello_.end(), hello.leases().begin(), hello.leases().end());
  for (const v1::SessionResumedLease& lease : hello.leases()) {
    v1::SessionResumption* answer = response->add_resumptions();
    answer->set_old_lease(lease.lease());
    const auto found = leases_.find(lease.lease());
    const std::string id = Proved(lease);
    if (id.empty()) continue;
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

void FakeBroker::AddRevocation(const std::string& id, v1::SessionRevocationReason reason,
                               const std::string& model, v1::SessionResponse* response) {
  v1::SessionRevocation* revocation = response->add_revocations();
  revocation->set_number(++last_revocation_);
  revocation->set_credential(Announce(id, response));
  revocation->set_model(model);
  revocation->set_covers(last_order_);
  revocation->set_reason(reason);
  revocation->set_cause(v1::CAUSE_RATE_LIMITED);
  ToWire(Now(), revocation->mutable_until());
}

void FakeBroker::TakeReport(const v1::SessionReport& report, v1::SessionResponse* response) {
  if (!forgetful_) reports_.push_back(report);
  v1::SessionReportResult* result = response->add_results();
  result->set_lease(report.lease());
  result->mutable_result()->set_disposition(
      report.item().early() ? v1::REPORT_DISPOSITION_NOTED : v1::REPORT_DISPOSITION_ACCEPTED);
  result->mutable_result()->set_advice(v1::ADVICE_RETRY_OTHER);
  const auto found = leases_.find(report.lease());
  if (revoke_limited_ && report.item().http_status() == 429 && found != leases_.end()) {
    AddRevocation(found->second.credential, v1::SESSION_REVOCATION_REASON_COOLING, "", response);
  }
  if (!report.item().early()) End(report.lease());
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
    Adopt(request, &response);
    for (const v1::SessionTarget& target : request.targets()) targets_[target.target()] = target;
    if (request.acknowledged_revocation() > acknowledged_) {
      acknowledged_ = request.acknowledged_revocation();
      tell = on_acknowledged_;
    }
    for (const uint64_t lease : request.succeeded_leases()) {
      if (!forgetful_) succeeded_.push_back(lease);
      End(lease);
    }
    for (const v1::SessionReport& report : request.reports()) TakeReport(report, &response);
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

}  // namespace credbroker::client
