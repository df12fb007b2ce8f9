// What the library keeps of credentials and leases.
//
// A session has one thread that owns nearly all of it ("the session's thread"); callers' threads
// see a lease record from its hand-out to its end, and what they may touch meanwhile is marked
// below.
#ifndef CREDBROKER_CLIENT_SESSION_RECORD_H_
#define CREDBROKER_CLIENT_SESSION_RECORD_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "client/session/doubt.h"
#include "credbroker/client/lease.h"
#include "credbroker/client/target.h"
#include "credbroker/v1/session.pb.h"

namespace credbroker::client {

// One version of a credential as a session may use it. Immutable once made.
struct Material {
  std::string credential_id;
  std::string credential_uid;
  std::string group;
  std::string provider;
  v1::CredentialKind kind = v1::CREDENTIAL_KIND_UNSPECIFIED;
  std::vector<Header> headers;
  Secret proxy_url;
  std::string base_url;
  google::protobuf::Struct attributes;
  int64_t version = 0;
  std::optional<absl::Time> expire_time;
  // The same by the boot clock; 0: does not expire.
  int64_t expire_boot_ns = 0;
  Secret ticket;
  bool capped = false;
};

// One incarnation of a credential. It outlives streams: leases refer to it.
struct Credential {
  // Never null. Written with all shards locked, read with any of them locked (or by the session's
  // thread).
  std::shared_ptr<const Material> material;
  // Any thread.
  Doubts doubts;

  // --- Session's thread only ---
  // The newest order that was revoked: for every model, and by model.
  uint64_t covers = 0;
  std::vector<std::pair<std::string, uint64_t>> model_covers;
  // Whether an order of this model is revoked.
  bool Revokes(const std::string& model, uint64_t order) const {
    if (covers != 0 && order <= covers) return true;
    for (const auto& [name, upto] : model_covers) {
      if (name == model && order <= upto) return true;
    }
    return false;
  }
};

// Where a lease is.
enum class Place : uint8_t { kFree, kStock, kInUse, kEnded };

// What the broker knows of a lease.
enum class Standing : uint8_t {
  // `number` is its number in the stream that is open.
  kKnown,
  // Of a stream before, or served while the broker was away: to be presented, or presented and not
  // yet answered.
  kAwaiting,
  // The broker refused it, or gave it up.
  kRefused,
};

// Records live in a slab as long as their session and its leases, and are used again under another
// local_id.
struct LeaseRecord {
  // --- Constant from grant to end ---
  uint64_t local_id = 0;
  std::shared_ptr<Credential> credential;
  std::shared_ptr<const std::string> model;
  TargetId target = 0;
  absl::Time grant_time;
  int64_t grant_boot_ns = 0;
  // Not handed out of stock from then on: half of its ttl is gone.
  int64_t use_by_boot_ns = 0;
  bool served_last = false;

  // --- Any thread ---
  std::atomic<int64_t> expire_unix_ns{0};
  // v1::SessionRevocationReason; 0: not revoked.
  std::atomic<uint8_t> revoke_reason{0};
  // kStock to kInUse by the caller that takes it, under its shard's lock; the rest by the session's
  // thread.
  std::atomic<Place> place{Place::kFree};

  // --- Session's thread only ---
  Standing standing = Standing::kKnown;
  uint64_t number = 0;
  uint64_t order = 0;
  int64_t expire_boot_ns = 0;
  absl::Duration ttl;
  // A renewal waits to be sent, or for its answer.
  bool renewing = false;
  // What its holder asked for while that could not be sent; zero: nothing.
  absl::Duration asked_ttl;
  // With served_last, until it ends: what counts it.
  std::shared_ptr<int> serve_count;
  // Ended by Close under its holder's eyes: stays as it is, and is not used again.
  bool still_held = false;
};

// Something a caller said about a lease, on its way to the session's thread.
struct LeaseNote {
  enum class Kind : uint8_t {
    kSucceeded,
    kReported,
    kEarly,
    kReleased,
    kExpired,
    kReturned,
    kRenew
  };
  // With kReported and kEarly.
  struct Detail {
    v1::ReportItem item;
    ReportCallback done;
    int64_t bytes = 0;
    // Until the broker's disposition is here.
    std::shared_ptr<const DoubtHold> doubt;
  };
  LeaseRecord* record = nullptr;
  // A note about a record that got another id meanwhile is void.
  uint64_t local_id = 0;
  Kind kind = Kind::kReleased;
  // With kRenew.
  absl::Duration ttl;
  std::unique_ptr<Detail> detail;
};

// Tells the caller that its report is not delivered, if it wants to know.
inline void DropNote(LeaseNote& note) {
  if (note.detail == nullptr || note.detail->done == nullptr) return;
  ReportAnswer answer;
  answer.disposition = v1::REPORT_DISPOSITION_UNKNOWN;
  std::exchange(note.detail->done, nullptr)(answer);
}

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_RECORD_H_
