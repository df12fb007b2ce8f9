#include "server/session/frame.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/rpc/validate.h"

namespace credbroker::session {
namespace {

using rpc::Checker;

constexpr absl::Duration kMinTtl = absl::Seconds(1);
constexpr absl::Duration kMaxTtl = absl::Hours(1);

int Items(const v1::SessionRequest& request) {
  return request.targets_size() + request.succeeded_leases_size() + request.reports_size() +
         request.released_leases_size() + request.renewals_size() + request.prefetches_size() +
         request.acquires_size() + request.cancelled_calls_size() + request.served_leases_size() +
         request.hello().leases_size();
}

std::string Path(const char* list, int index, const char* field) {
  return absl::StrCat(list, "[", index, "].", field);
}

void CheckTtl(const google::protobuf::Duration& ttl, const std::string& field, Checker& check) {
  check.Span(ttl, kMinTtl, kMaxTtl, field);
}

void CheckResumed(const google::protobuf::RepeatedPtrField<v1::SessionResumedLease>& leases,
                  const char* list, Checker& check) {
  for (int i = 0; i < leases.size(); ++i) {
    const v1::SessionResumedLease& lease = leases[i];
    if (lease.lease() == 0) check.Add(Path(list, i, "lease"), "is required");
    if (lease.ticket().size() > 2'048) {
      check.Add(Path(list, i, "ticket"), "is longer than any ticket");
    }
    if (lease.model().size() > 256) check.Text(lease.model(), 256, Path(list, i, "model"));
    check.Time(lease.grant_time(), Path(list, i, "grant_time"));
    check.Time(lease.expire_time(), Path(list, i, "expire_time"));
  }
}

void CheckHello(const v1::SessionHello& hello, Checker& check) {
  check.Text(hello.client(), 128, "hello.client");
  check.Text(hello.instance(), 128, "hello.instance");
  if (!hello.session_id().empty() && hello.session_id().size() != kSessionIdBytes) {
    check.Add("hello.session_id",
              absl::StrCat("must be the ", kSessionIdBytes, " bytes of a welcome, or empty; is ",
                           hello.session_id().size()));
  }
  CheckResumed(hello.leases(), "hello.leases", check);
}

void CheckTarget(const v1::SessionTarget& target, int index, Checker& check) {
  const auto at = [index](const char* field) { return Path("targets", index, field); };
  if (target.target() < 1 || target.target() > kMaxTarget) {
    check.Range(target.target(), 1, kMaxTarget, at("target"));
  }
  check.Name(target.group(), at("group"));
  if (target.providers().empty()) check.Add(at("providers"), "name at least one");
  check.Count(target.providers_size(), 16, at("providers"));
  for (int i = 0; i < std::min(target.providers_size(), 16); ++i) {
    if (target.providers(i).empty()) check.Add(at("providers"), "names an empty one");
    check.Name(target.providers(i), at("providers"));
    for (int j = 0; j < i; ++j) {
      if (target.providers(i) == target.providers(j)) check.Add(at("providers"), "names one twice");
    }
  }
  check.Text(target.model(), 256, at("model"));
  check.Known(target.kind(), &v1::CredentialKind_IsValid, at("kind"));
  check.Count(static_cast<int>(target.labels().size()), 8, at("labels"));
  for (const auto& [key, value] : target.labels()) {
    check.Text(key, 32, at("labels"));
    check.Text(value, 64, at("labels"));
  }
  if (target.has_ttl()) CheckTtl(target.ttl(), at("ttl"), check);
}

void CheckAcquire(const v1::SessionAcquire& acquire, int index, Checker& check) {
  if (acquire.call() == 0) check.Add(Path("acquires", index, "call"), "must not be 0");
  if (acquire.target() > kMaxTarget) {
    check.Range(acquire.target(), 0, kMaxTarget, Path("acquires", index, "target"));
  }
  const v1::AcquireRequest& request = acquire.request();
  if (acquire.target() == 0) {
    if (const grpc::Status status = rpc::Validate(request); !status.ok()) {
      check.Add(Path("acquires", index, "request"), status.error_message());
    }
    return;
  }
  if (!acquire.has_request()) return;
  const auto at = [index](const char* field) {
    return absl::StrCat("acquires[", index, "].request.", field);
  };
  if (!request.session_key().empty()) check.Text(request.session_key(), 256, at("session_key"));
  if (!request.credential_id().empty()) {
    check.Text(request.credential_id(), 256, at("credential_id"));
  }
  check.Count(request.excluded_credential_ids_size(), 64, at("excluded_credential_ids"));
  for (const std::string& id : request.excluded_credential_ids()) {
    if (id.size() > 256) check.Text(id, 256, at("excluded_credential_ids"));
  }
  if (!request.request_id().empty()) check.Text(request.request_id(), 128, at("request_id"));
  if (request.has_ttl()) CheckTtl(request.ttl(), at("ttl"), check);
  if (request.has_max_wait()) {
    check.Span(request.max_wait(), absl::ZeroDuration(), absl::Seconds(60), at("max_wait"));
  }
}

// Only hello may open a stream, and nothing else is looked at before its last lease.
void CheckPhase(const v1::SessionRequest& request, Phase phase, int items, Checker& check) {
  if (phase == Phase::kOpen) {
    if (request.has_hello()) check.Add("hello", "came before; send it in the first message only");
    return;
  }
  if (!request.has_hello()) {
    check.Add("hello", phase == Phase::kFirst
                           ? "is required in the first message"
                           : "must follow: the one before said that more leases come");
    return;
  }
  if (request.hello().more() && items != request.hello().leases_size()) {
    check.Add("hello.more", "must be false in a message that asks for anything else");
  }
}

}  // namespace

grpc::Status CheckFrame(const v1::SessionRequest& request, Phase phase, uint64_t number) {
  Checker check;
  if (request.number() != number) {
    check.Add("number",
              absl::StrCat("must count the messages: ", number, " is due, got ", request.number()));
  }
  const int items = Items(request);
  if (items > kMaxItems) {
    check.Add("items", absl::StrCat("are ", items, " in all lists together; at most ", kMaxItems));
    return check.status();
  }
  CheckPhase(request, phase, items, check);
  if (request.has_hello()) CheckHello(request.hello(), check);
  CheckResumed(request.served_leases(), "served_leases", check);
  for (int i = 0; i < request.targets_size(); ++i) CheckTarget(request.targets(i), i, check);
  for (int i = 0; i < request.reports_size(); ++i) {
    if (request.reports(i).lease() == 0) check.Add(Path("reports", i, "lease"), "is required");
    rpc::CheckReport(request.reports(i).item(), i, check);
  }
  for (int i = 0; i < request.renewals_size(); ++i) {
    if (request.renewals(i).lease() == 0) check.Add(Path("renewals", i, "lease"), "is required");
    if (request.renewals(i).has_ttl()) {
      CheckTtl(request.renewals(i).ttl(), Path("renewals", i, "ttl"), check);
    }
  }
  for (int i = 0; i < request.prefetches_size(); ++i) {
    const v1::SessionPrefetch& prefetch = request.prefetches(i);
    if (prefetch.count() < 1 || prefetch.count() > kMaxPrefetch) {
      check.Range(prefetch.count(), 1, kMaxPrefetch, Path("prefetches", i, "count"));
    }
  }
  for (int i = 0; i < request.acquires_size(); ++i) CheckAcquire(request.acquires(i), i, check);
  return check.status();
}

}  // namespace credbroker::session
