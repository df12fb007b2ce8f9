#include "credbroker/client/lease.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "client/session/record.h"
#include "client/session/request_check.h"
#include "client/session/shared.h"
#include "client/session/wire_time.h"

namespace credbroker::client {
namespace {

v1::ReportItem ToItem(Outcome outcome) {
  v1::ReportItem item;
  item.set_outcome(outcome.outcome);
  item.set_http_status(outcome.http_status);
  item.set_error_code(std::move(outcome.error_code));
  for (auto& [name, value] : outcome.headers) {
    v1::Header* header = item.add_headers();
    header->set_name(std::move(name));
    header->set_value(std::move(value));
  }
  item.set_body_excerpt(std::move(outcome.body_excerpt));
  item.set_network_error(outcome.network_error);
  if (outcome.event_time.has_value()) ToWire(*outcome.event_time, item.mutable_event_time());
  return item;
}

// What a report takes besides its texts: a status alone is not for nothing.
constexpr size_t kBareReportBytes = 512;

int64_t BytesOf(const v1::ReportItem& item) {
  size_t bytes = kBareReportBytes + item.error_code().size() + item.body_excerpt().size();
  for (const v1::Header& header : item.headers()) {
    bytes += header.name().size() + header.value().size();
  }
  return static_cast<int64_t>(bytes);
}

}  // namespace

bool IsPrivateHeader(absl::string_view name) {
  static constexpr absl::string_view kPrivate[] = {"set-cookie",
                                                   "set-cookie2",
                                                   "cookie",
                                                   "authorization",
                                                   "proxy-authorization",
                                                   "authentication-info",
                                                   "proxy-authentication-info"};
  for (const absl::string_view known : kPrivate) {
    if (absl::EqualsIgnoreCase(name, known)) return true;
  }
  return false;
}

Lease::Lease(Lease&& other) noexcept
    : shared_(std::move(other.shared_)),
      record_(std::exchange(other.record_, nullptr)),
      material_(std::move(other.material_)),
      probe_(other.probe_),
      session_rebound_(other.session_rebound_),
      from_stock_(other.from_stock_),
      waited_(other.waited_) {}

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  Release();
  shared_ = std::move(other.shared_);
  record_ = std::exchange(other.record_, nullptr);
  material_ = std::move(other.material_);
  probe_ = other.probe_;
  session_rebound_ = other.session_rebound_;
  from_stock_ = other.from_stock_;
  waited_ = other.waited_;
  return *this;
}

Lease::~Lease() { Release(); }

const std::vector<Header>& Lease::headers() const { return material_->headers; }
const Secret& Lease::proxy_url() const { return material_->proxy_url; }
const std::string& Lease::base_url() const { return material_->base_url; }
const std::string& Lease::model() const { return *record_->model; }
const google::protobuf::Struct& Lease::attributes() const { return material_->attributes; }
const std::string& Lease::credential_id() const { return material_->credential_id; }
const std::string& Lease::credential_uid() const { return material_->credential_uid; }
const std::string& Lease::group() const { return material_->group; }
const std::string& Lease::provider() const { return material_->provider; }
v1::CredentialKind Lease::kind() const { return material_->kind; }
int64_t Lease::material_version() const { return material_->version; }
std::optional<absl::Time> Lease::material_expire_time() const { return material_->expire_time; }
absl::Time Lease::grant_time() const { return record_->grant_time; }
absl::Time Lease::expire_time() const {
  return absl::FromUnixNanos(record_->expire_unix_ns.load(std::memory_order_relaxed));
}
bool Lease::served_last() const { return record_->served_last; }
uint64_t Lease::local_id() const { return record_->local_id; }
bool Lease::revoked() const {
  return record_ != nullptr && record_->revoke_reason.load(std::memory_order_acquire) != 0;
}
v1::SessionRevocationReason Lease::revoke_reason() const {
  return static_cast<v1::SessionRevocationReason>(
      record_ == nullptr ? 0 : record_->revoke_reason.load(std::memory_order_acquire));
}

void Lease::CopyTo(v1::Grant* grant) const {
  grant->Clear();
  grant->set_credential_id(credential_id());
  grant->set_credential_uid(credential_uid());
  grant->set_group(group());
  grant->set_provider(provider());
  grant->set_kind(kind());
  grant->set_model(model());
  for (const Header& header : headers()) {
    v1::Header* wire = grant->add_request_headers();
    wire->set_name(header.name);
    wire->set_value(std::string(header.value.reveal()));
  }
  grant->set_proxy_url(std::string(proxy_url().reveal()));
  grant->set_base_url(base_url());
  *grant->mutable_attributes() = attributes();
  grant->set_material_version(material_version());
  if (material_expire_time().has_value()) {
    ToWire(*material_expire_time(), grant->mutable_material_expire_time());
  }
  ToWire(expire_time(), grant->mutable_expire_time());
  grant->set_probe(probe());
  grant->set_session_rebound(session_rebound());
  grant->set_epoch(shared_->parts().epochs->highest());
  if (waited_ > absl::ZeroDuration()) ToWire(waited_, grant->mutable_waited());
}

void Lease::Say(LeaseNote&& note) {
  note.record = record_;
  note.local_id = record_->local_id;
  shared_->Post(std::move(note));
}

void Lease::End(LeaseNote&& note) {
  if (record_ == nullptr) return;
  Say(std::move(note));
  record_ = nullptr;
  material_ = nullptr;
  shared_ = nullptr;
}

void Lease::Renew(absl::Duration ttl) {
  if (record_ == nullptr) return;
  Say({.kind = LeaseNote::Kind::kRenew, .ttl = std::clamp(ttl, absl::Seconds(1), absl::Hours(1))});
}

void Lease::Report(v1::ReportItem item, ReportCallback done) {
  if (record_ == nullptr) return;
  auto detail = std::make_unique<LeaseNote::Detail>();
  item.clear_lease_id();
  MakeSendable(&item);
  if (item.material_version() == 0) item.set_material_version(material_->version);
  detail->bytes = BytesOf(item);
  const Doubt doubt = DoubtOf(item);
  if (doubt == Doubt::kTransient ? shared_->state() == ConnectionState::kConnected
                                 : doubt != Doubt::kNone) {
    // Before anybody hears that the report was made.
    detail->doubt = std::make_shared<DoubtHold>(record_->credential, record_->model, doubt);
  }
  detail->item = std::move(item);
  detail->done = std::move(done);
  if (detail->item.early()) {
    Say({.kind = LeaseNote::Kind::kEarly, .detail = std::move(detail)});
  } else {
    End({.kind = LeaseNote::Kind::kReported, .detail = std::move(detail)});
  }
}

void Lease::Report(Outcome outcome, ReportCallback done) {
  if (record_ == nullptr) return;
  Report(ToItem(std::move(outcome)), std::move(done));
}

void Lease::Report(Outcome outcome) { Report(std::move(outcome), nullptr); }

void Lease::ReportEarly(Outcome outcome) {
  if (record_ == nullptr) return;
  v1::ReportItem item = ToItem(std::move(outcome));
  item.set_early(true);
  Report(std::move(item), nullptr);
}

void Lease::ReportSuccess() { End({.kind = LeaseNote::Kind::kSucceeded}); }
void Lease::Release() { End({.kind = LeaseNote::Kind::kReleased}); }
void Lease::Expire() { End({.kind = LeaseNote::Kind::kExpired}); }

}  // namespace credbroker::client
