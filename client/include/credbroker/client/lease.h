// The right to one upstream attempt with one credential, and what the attempt needs.
//
//   auto lease = session->Acquire(target);
//   if (!lease.ok()) return lease.status();
//   for (const Header& header : lease->headers()) request.Set(header.name, header.value.reveal());
//   ...
//   lease->Report(Outcome::Status(response.status));
//
// A lease ends exactly once: by Report, ReportSuccess, Release or Expire, or else when the object
// dies, which releases it. None of them waits or fails; what is called on an ended or empty lease
// does nothing.
//
// Thread-safety: one thread at a time uses a Lease; several leases may be used by several threads.
// `revoked` and `expire_time` may be called by any thread while the object is not changed. A Lease
// may outlive its Session; ending it is then without effect.
#ifndef CREDBROKER_CLIENT_LEASE_H_
#define CREDBROKER_CLIENT_LEASE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "credbroker/client/outcome.h"
#include "credbroker/client/secret.h"
#include "credbroker/v1/lease.pb.h"
#include "credbroker/v1/session.pb.h"
#include "google/protobuf/struct.pb.h"

namespace credbroker::client {

struct Header {
  // Lower-case.
  std::string name;
  Secret value;
};

// The state of one lease inside the library.
struct LeaseRecord;
// Something said about a lease.
struct LeaseNote;
// One version of a credential's material. Immutable.
struct Material;
class SessionShared;

class Lease {
 public:
  // No lease.
  Lease() = default;
  Lease(Lease&& other) noexcept;
  // Releases what was held.
  Lease& operator=(Lease&& other) noexcept;
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease();

  // Whether this holds a lease that has not ended.
  explicit operator bool() const { return record_ != nullptr; }

  // --- What to send. The values stay valid while this object holds its lease. ---

  // Set these on the upstream request, replacing any of the same name.
  const std::vector<Header>& headers() const;
  // Go out through this proxy; "direct": through none; empty: as configured. May hold a password.
  const Secret& proxy_url() const;
  // Upstream address; empty: the provider's usual one.
  const std::string& base_url() const;
  // The model's name for the upstream.
  const std::string& model() const;
  // Not secret: project_id, account_id, request_retry ...
  const google::protobuf::Struct& attributes() const;

  // --- What it is. ---

  const std::string& credential_id() const;
  const std::string& credential_uid() const;
  const std::string& group() const;
  const std::string& provider() const;
  v1::CredentialKind kind() const;
  int64_t material_version() const;
  // Broker's clock; not set: the material does not expire.
  std::optional<absl::Time> material_expire_time() const;
  // Broker's clock.
  absl::Time grant_time() const;
  absl::Time expire_time() const;
  // The credential is half-open and this is its probe: report soon, an early report helps.
  bool probe() const { return probe_; }
  // The session key was bound to another credential before.
  bool session_rebound() const { return session_rebound_; }
  // How long the broker let the call wait.
  absl::Duration waited() const { return waited_; }
  // Made from the last known material while the broker was away.
  bool served_last() const;
  // Came out of stock.
  bool from_stock() const { return from_stock_; }
  // Unique in the session's life, never 0; what events name. Not the broker's number.
  uint64_t local_id() const;
  // The call should be cancelled: the credential is gone, the lease was ended by the broker or
  // refused when the session resumed, or it has a cap and the session is lost.
  bool revoked() const;
  v1::SessionRevocationReason revoke_reason() const;

  // The same as a Grant, secrets included, with an empty lease_id: for programs that pass it on.
  void CopyTo(v1::Grant* grant) const;

  // --- What became of it. ---

  // From now: 1 s to 1 h, cut by the broker at 1 h after the grant. expire_time follows when the
  // broker answered.
  void Renew(absl::Duration ttl);
  // A first notice (e.g. the first byte came); the lease goes on. May be dropped when reports queue
  // up, and counted then.
  void ReportEarly(Outcome outcome);
  // The upstream call answered 2xx.
  void ReportSuccess();
  void Report(Outcome outcome);
  // `done` learns what the broker made of it.
  void Report(Outcome outcome, ReportCallback done);
  // As it would be sent to the broker, for programs that pass reports on; lease_id is not looked
  // at. An item with `early` set does not end the lease.
  void Report(v1::ReportItem item, ReportCallback done);
  // Neither success nor failure.
  void Release();
  // As Release, counted as expired in the broker's metrics: nobody reported it in time.
  void Expire();

 private:
  friend class SessionShared;

  void Say(LeaseNote&& note);
  void End(LeaseNote&& note);

  std::shared_ptr<SessionShared> shared_;
  LeaseRecord* record_ = nullptr;
  std::shared_ptr<const Material> material_;
  bool probe_ = false;
  bool session_rebound_ = false;
  bool from_stock_ = false;
  absl::Duration waited_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_LEASE_H_
