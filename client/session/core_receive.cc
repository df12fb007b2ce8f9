// What the broker says.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "client/session/core.h"
#include "credbroker/client/error.h"

namespace credbroker::client {
namespace {

// The broker's hard maximum of a lease's life, less what rounding may take.
constexpr absl::Duration kMaxLife = absl::Seconds(3599);

// The broker said nothing about the pool: it is sealed, stops, or broke.
bool CannotServe(const absl::Status& refusal) {
  switch (refusal.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
      return true;
    default:
      return false;
  }
}

}  // namespace

void SessionCore::OnMessage(v1::SessionResponse& message) {
  if (message.has_welcome()) {
    OnWelcome(message.welcome());
    if (!cut_.ok()) return;
  }
  ends_.Processed(message.processed());
  Announce(*message.mutable_credentials());
  const size_t presented = book_.presented();
  Resume(message.resumptions());
  Revoke(message.revocations());
  if (message.has_welcome()) Extend();  // before anybody hears of it
  for (const v1::SessionStock& stock : message.stocks()) ReceiveStock(stock);
  for (const v1::SessionGrant& grant : message.grants()) ReceiveGrant(grant);
  for (const v1::SessionReportResult& result : message.results()) ends_.Result(result);
  for (const v1::SessionRenewal& renewal : message.renewals()) ReceiveRenewal(renewal);
  if (message.pong() != 0) {
    connection_.Ponged(message.pong());
    // Answers come in order: what was presented before this ping and not answered never will be.
    if (settle_ping_ != 0 && message.pong() >= settle_ping_) Refuse(book_.TakeAllPresented());
    Extend();
  }
  // With the resumptions came what became of their credentials.
  if (book_.presented() == 0) ends_.SettleDoubts();
  SettleHello(message);
  if (message.has_welcome()) {
    size_t refused = 0;
    for (const v1::SessionResumption& resumption : message.resumptions()) {
      if (resumption.lease() == 0) ++refused;
    }
    TellState(absl::OkStatus(), message.welcome().resumed(), std::min(refused, presented));
  }
  if (message.has_go_away()) connection_.GoAway(message.go_away(), now_ns_);
}

void SessionCore::SettleHello(const v1::SessionResponse& message) {
  if (hello_ != Hello::kSent || !connection_.up()) return;
  // A ping is younger than the hello and what was served during it. Without it, what is served
  // since, time and again, would put this off for ever.
  const bool answered = book_.presented() == 0 && served_.empty();
  if (!answered && message.pong() == 0) return;
  hello_ = Hello::kSettled;
  // The broker tells a stream only of credentials that it named on it: the others may have been
  // disabled or deleted while it was away.
  const absl::flat_hash_set<const Credential*> named = book_.Named();
  serve_last_.ForgetIf(
      [&](const ServeLast::Known& known) { return !named.contains(known.credential.get()); });
}

void SessionCore::Announce(google::protobuf::RepeatedPtrField<v1::SessionCredential>& credentials) {
  std::vector<LeaseBook::NewMaterial> fresh;
  for (v1::SessionCredential& wire : credentials) {
    LeaseBook::NewMaterial made = book_.Announce(&wire, connection_.broker_time());
    if (made.material != nullptr) fresh.push_back(std::move(made));
  }
  if (fresh.empty()) return;
  // The last version of before dies after the locks are given up.
  removed_.clear();
  shared_->shards().RemoveIf(
      [&] {
        for (LeaseBook::NewMaterial& made : fresh) made.credential->material.swap(made.material);
      },
      [](const LeaseRecord&) { return false; }, &removed_);
}

void SessionCore::Cover(Credential& credential, const v1::SessionRevocation& revocation) {
  if (revocation.model().empty()) {
    credential.covers = std::max(credential.covers, revocation.covers());
    return;
  }
  auto& covers = credential.model_covers;
  const auto found = std::find_if(covers.begin(), covers.end(), [&](const auto& entry) {
    return entry.first == revocation.model();
  });
  if (found == covers.end()) {
    covers.emplace_back(revocation.model(), revocation.covers());
  } else {
    found->second = std::max(found->second, revocation.covers());
  }
}

void SessionCore::Revoke(
    const google::protobuf::RepeatedPtrField<v1::SessionRevocation>& revocations) {
  if (revocations.empty()) return;
  absl::flat_hash_set<const LeaseRecord*> exactly;
  absl::flat_hash_set<std::pair<const Credential*, absl::string_view>> subjects;
  for (const v1::SessionRevocation& revocation : revocations) {
    if (revocation.lease() != 0) {
      if (LeaseRecord* record = book_.Find(revocation.lease())) exactly.insert(record);
      continue;
    }
    const std::shared_ptr<Credential>& credential = book_.ByIndex(revocation.credential());
    if (credential == nullptr) continue;
    Cover(*credential, revocation);
    subjects.emplace(credential.get(), revocation.model());
  }
  // Whatever its order: of a session that was resumed the broker covers the leases it has, and what
  // is known here may be of a newer one that has ended.
  serve_last_.ForgetIf([&](const ServeLast::Known& known) {
    return subjects.contains({known.credential.get(), ""}) ||
           subjects.contains({known.credential.get(), *known.model});
  });
  // After this no thread can hand any of it out: what it saw it took before.
  removed_.clear();
  shared_->shards().RemoveIf([] {},
                             [&](const LeaseRecord& record) {
                               return exactly.contains(&record) ||
                                      record.credential->Revokes(*record.model, record.order);
                             },
                             &removed_);
  absl::flat_hash_map<const Credential*, size_t> dropped;
  for (LeaseRecord* record : removed_) ++dropped[record->credential.get()];
  stats_.stock_revoked += removed_.size();

  for (const v1::SessionRevocation& revocation : revocations) {
    to_acknowledge_ = std::max(to_acknowledge_, revocation.number());
    ++stats_.revocations;
    RevocationEvent event;
    event.model = revocation.model();
    event.reason = revocation.reason();
    event.cause = revocation.cause();
    if (revocation.has_until()) event.until = FromWire(revocation.until());
    std::shared_ptr<Credential> credential = book_.ByIndex(revocation.credential());
    const auto end = [&](LeaseRecord& record) {
      if (record.place.load(std::memory_order_relaxed) != Place::kInUse) return;
      record.revoke_reason.store(static_cast<uint8_t>(event.reason), std::memory_order_release);
      event.cancel.push_back(record.local_id);
    };
    if (revocation.lease() != 0) {
      if (LeaseRecord* record = book_.Find(revocation.lease())) {
        credential = record->credential;
        if (!std::count(removed_.begin(), removed_.end(), record)) end(*record);
      }
    } else if (revocation.reason() == v1::SESSION_REVOCATION_REASON_DELETED) {
      const absl::flat_hash_set<const LeaseRecord*> gone(removed_.begin(), removed_.end());
      book_.ForEach([&](LeaseRecord& record) {
        if (record.credential == credential && record.order <= revocation.covers() &&
            !gone.contains(&record)) {
          end(record);
        }
      });
    }
    if (credential != nullptr) {
      event.credential_id = credential->material->credential_id;
      event.credential_uid = credential->material->credential_uid;
      event.dropped = std::exchange(dropped[credential.get()], 0);
    }
    if (shared_->options().events.on_revoked) shared_->options().events.on_revoked(event);
  }
  for (LeaseRecord* record : removed_) Return(record);
}

void SessionCore::Return(LeaseRecord* record) {
  ends_.Add({.record = record, .local_id = record->local_id, .kind = LeaseNote::Kind::kReturned});
}

LeaseRecord* SessionCore::Enter(uint64_t number, uint32_t credential, const std::string& model,
                                uint64_t order) {
  const std::shared_ptr<Credential>& known = book_.ByIndex(credential);
  LeaseRecord* record = known == nullptr || closing_ ? nullptr : book_.New();
  if (record == nullptr) {
    returned_numbers_.push_back(number);
    return nullptr;
  }
  record->credential = known;
  record->model = book_.Intern(model);
  record->order = order;
  book_.SetNumber(record, number);
  return record;
}

void SessionCore::SetLife(LeaseRecord* record, absl::Time granted, absl::Time expires,
                          absl::Duration ttl) {
  const BrokerTime& time = connection_.broker_time();
  record->grant_time = granted;
  record->grant_boot_ns = time.ToBoot(granted);
  record->use_by_boot_ns = time.ToBoot(granted + (expires - granted) / 2);
  record->expire_boot_ns = time.ToBoot(expires);
  record->expire_unix_ns.store(absl::ToUnixNanos(expires), std::memory_order_relaxed);
  record->ttl = ttl;
}

void SessionCore::ReceiveStock(const v1::SessionStock& stock) {
  const bool wanted = stock_.Arrived(stock, now_ns_);
  const Target* target = stock_.Find(stock.target());
  const absl::Time granted = FromWire(stock.grant_time());
  const absl::Time expires = FromWire(stock.expire_time());
  const size_t room =
      !wanted || target == nullptr
          ? 0
          : static_cast<size_t>(std::max(
                0, target->stock.max - shared_->shards().counters(stock.target())->stock.load()));
  std::vector<LeaseRecord*> put;
  put.reserve(static_cast<size_t>(stock.leases_size()));
  static const std::string kNoModel;
  for (int i = 0; i < stock.leases_size(); ++i) {
    const uint32_t credential = i < stock.credentials_size() ? stock.credentials(i) : 0;
    const int index = i < stock.model_indexes_size() ? static_cast<int>(stock.model_indexes(i)) : 0;
    const std::string& model = index < stock.models_size() ? stock.models(index) : kNoModel;
    LeaseRecord* record = Enter(stock.leases(i), credential, model, stock.order());
    if (record == nullptr) continue;
    record->target = stock.target();
    SetLife(record, granted, expires,
            target != nullptr && target->auto_renew ? target->ttl : absl::ZeroDuration());
    if (put.size() >= room || record->credential->Revokes(model, stock.order())) {
      Return(record);
      continue;
    }
    serve_last_.Granted(*record);
    put.push_back(record);
  }
  if (put.empty()) return;
  stock_.Keeps(stock.target(), put.front()->use_by_boot_ns);
  shared_->shards().Put(stock.target(), put);
}

void SessionCore::ReceiveGrant(const v1::SessionGrant& grant) {
  if (grant.has_refusal()) {
    absl::StatusOr<Lease> result = FromRpcStatus(grant.refusal());
    // Not by its client, who would not wait for it: the broker stops. The call goes to whoever is
    // there next.
    if (absl::IsCancelled(result.status())) return;
    AcquireCall call = calls_.Take(grant.call());
    if (!call.done) return;
    if (CannotServe(result.status()) && MayServeLast(call)) {
      absl::StatusOr<Lease> served = ServeLastKnown(call);
      if (served.ok()) result = std::move(served);
    }
    Answer(call, std::move(result));
    return;
  }
  LeaseRecord* record = Enter(grant.lease(), grant.credential(), grant.model(), grant.order());
  if (record == nullptr) {
    AcquireCall call = calls_.Take(grant.call());
    if (call.done) {
      Answer(call, LocalError(LocalReason::kTooManyLeases,
                              "max_leases leases are live or wait for their end to be processed"));
    }
    return;
  }
  SetLife(record, FromWire(grant.grant_time()), FromWire(grant.expire_time()),
          absl::ZeroDuration());
  if (record->credential->Revokes(*record->model, grant.order())) {
    // Revoked before it got here: not handed out, asked again.
    Return(record);
    calls_.Resend(grant.call());
    return;
  }
  AcquireCall call = calls_.Take(grant.call());
  if (!call.done) {  // nobody waits any more
    Return(record);
    return;
  }
  record->target = call.target;
  const Target* target = stock_.Find(call.target);
  if (target != nullptr) {
    if (target->auto_renew) record->ttl = FromWire(call.request.ttl());
    // A probe is one attempt with a credential that failed: no reason to serve it time and again.
    if (!grant.probe()) serve_last_.Granted(*record);
  }
  record->place.store(Place::kInUse, std::memory_order_relaxed);
  Lease lease = shared_->MakeLease(record, record->credential->material);
  shared_->SetGrantFacts(&lease, grant.probe(), grant.session_rebound(), FromWire(grant.waited()));
  ++stats_.direct;
  Answer(call, std::move(lease));
}

void SessionCore::ReceiveRenewal(const v1::SessionRenewal& renewal) {
  LeaseRecord* record = book_.Find(renewal.lease());
  if (record == nullptr) return;
  record->renewing = false;
  if (renewal.has_expire_time()) {
    const absl::Time expires = FromWire(renewal.expire_time());
    record->expire_boot_ns = connection_.broker_time().ToBoot(expires);
    record->expire_unix_ns.store(absl::ToUnixNanos(expires), std::memory_order_relaxed);
    // It cannot live longer: no use in asking on.
    if (expires >= record->grant_time + kMaxLife) record->ttl = absl::ZeroDuration();
    return;
  }
  record->ttl = record->asked_ttl = absl::ZeroDuration();  // asking again would not help
  const absl::Status refusal = FromRpcStatus(renewal.refusal());
  if (absl::IsNotFound(refusal) && record->place.load(std::memory_order_relaxed) == Place::kInUse) {
    record->revoke_reason.store(v1::SESSION_REVOCATION_REASON_LEASE_ENDED,
                                std::memory_order_release);
  }
}

}  // namespace credbroker::client
