// Commands of the data plane and their replies. Views in a command are borrowed for the call.
#ifndef CREDBROKER_CORE_COMMAND_H_
#define CREDBROKER_CORE_COMMAND_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/credential.h"
#include "core/ids.h"
#include "core/material.h"
#include "core/policy.h"

namespace credbroker::core {

struct AcquireCommand {
  absl::string_view principal;                    // never empty
  absl::string_view group;                        // empty: "default"
  absl::Span<const absl::string_view> providers;  // 1..16, distinct
  absl::string_view model;                        // empty: none named
  absl::string_view session_key;                  // <= 256 bytes
  absl::string_view credential_id;                // pin
  absl::Span<const absl::string_view> excluded;   // <= 64
  std::optional<Kind> kind;
  absl::Span<const std::pair<absl::string_view, absl::string_view>> labels;  // <= 8
  absl::string_view request_id;                    // <= 128 bytes; empty: none
  absl::Duration ttl = absl::ZeroDuration();       // 0: default
  absl::Duration max_wait = absl::ZeroDuration();  // 0: answer at once
  bool allow_probe = true;
  SessionId session;  // the lease belongs to it; kNoSession: a unary call. Of the same principal.
  // For stock: what nobody waits for yet. Never a probe, a pin, a bound or a capped credential, nor
  // one of a lower tier than a call would be served from, and answered at once: session_key,
  // credential_id, request_id, allow_probe and max_wait are not looked at.
  bool for_stock = false;
};

// Everything a lease id proves once its MAC was checked. Made from a Grant, handed back with every
// later call about the lease.
struct LeaseClaims {
  LeaseSeq seq;
  uint32_t cell = 0;  // where the pool keeps it
  uint64_t epoch = 0;
  Uid uid;
  uint64_t material_version = 0;
  Kind kind = Kind::kApiKey;
  bool refreshable = false;
  std::string principal;
  std::string provider;
  std::string model;  // upstream name, canonical; empty: none
  absl::Time granted;
  absl::Time expires;  // as granted; renewals are known to the pool only
};

// Names a lease of a session as its number on the wire does: where it is kept, and the low half of
// its LeaseSeq. Whatever it holds, it never reaches a lease of anybody else.
struct SessionLease {
  SessionId session;
  uint32_t cell = 0;
  uint32_t seq_low = 0;
};

// What a report of a session lease is classified by, outside the lock.
struct LeaseFacts {
  std::shared_ptr<const Document> document;  // provider, kind
  bool refreshable = false;
  std::string model;  // upstream name, canonical; empty: none
  uint64_t material_version = 0;
  absl::Time granted;
  bool live = false;
};

struct Grant {
  LeaseSeq seq;  // for a session also the grant's order against revocations
  uint32_t cell = 0;
  std::shared_ptr<const Document> document;
  std::shared_ptr<const Material> material;  // never null
  std::string model;                         // upstream name, canonical; empty: none
  absl::Time granted, expires;
  bool probe = false;
  bool rebound = false;   // the session moved to this credential
  bool repeated = false;  // answer to a repeated request_id
};

// Why nothing was granted. The RPC layer maps them to codes; names are ErrorInfo reasons.
enum class Refusal : uint8_t {
  kCooling,            // RESOURCE_EXHAUSTED
  kBusy,               // RESOURCE_EXHAUSTED: every one that could serve is at its cap
  kBreakerOpen,        // RESOURCE_EXHAUSTED
  kProviderBackoff,    // RESOURCE_EXHAUSTED
  kTooManyParked,      // RESOURCE_EXHAUSTED
  kWaitExpired,        // RESOURCE_EXHAUSTED: parked until max_wait was over
  kNoSuchGroup,        // NOT_FOUND
  kNoSuchProvider,     // NOT_FOUND
  kNoSuchModel,        // NOT_FOUND
  kNoSuchCredential,   // NOT_FOUND: pin
  kNoMatch,            // NOT_FOUND: labels, kind or exclusions leave nobody
  kAllDisabled,        // FAILED_PRECONDITION
  kPinUnavailable,     // FAILED_PRECONDITION: the pinned one is disabled or does not serve this
  kRequestIdMismatch,  // INVALID_ARGUMENT: same request_id, other arguments
  kRequestEnded,       // ABORTED: the lease of that request_id ended
  kReplaced,           // ABORTED: a duplicate of the parked request_id took its place
  kCancelled,          // CANCELLED
  kResumeOnly,         // RESOURCE_EXHAUSTED: capped credentials wait for sessions to resume
  kNotForStock,        // RESOURCE_EXHAUSTED: calls would get capped or half-open ones now
  kTooManyLeases,      // RESOURCE_EXHAUSTED: the principal holds as many as it may
};
inline constexpr int kRefusalCount = 20;
absl::string_view Name(Refusal v);

struct RefusalInfo {
  Refusal reason = Refusal::kCooling;
  // Members of the key (group, providers, model), before labels and exclusions, by what holds them.
  std::array<uint32_t, kCauseCount> counts{};
  uint32_t members = 0;
  absl::Time earliest = absl::InfiniteFuture();  // recovery, probe token, breaker or `until`
};

struct AcquireReply {
  enum class Kind : uint8_t { kGranted, kRefused, kParked };
  Kind kind = Kind::kRefused;
  Grant grant;
  RefusalInfo refusal;
  WaiterId waiter;
  // The group and provider the call counts for in metrics (closed sets; empty: unknown).
  absl::Duration waited = absl::ZeroDuration();
};

// A lease granted for stock. What it needs besides is Pool::Issued(uid), once for each credential.
struct StockLease {
  LeaseSeq seq;
  uint32_t cell = 0;
  Uid uid;
  uint64_t material_version = 0;
  absl::string_view model;  // upstream name; borrowed until the next call on the pool
};

struct StockReply {
  int granted = 0;                     // appended to the caller's list
  LeaseSeq order;                      // newest lease number at this moment
  absl::Time granted_at, expires;      // of all of them
  std::optional<RefusalInfo> refusal;  // set exactly if fewer were granted than asked for
};

// What a session must be told of a credential before it can use a lease of it.
struct Issued {
  std::shared_ptr<const Document> document;
  std::shared_ptr<const Material> material;  // null: no usable secret
  bool capped = false;                       // has a cap of leases in flight, whole or per model
};

// A lease of before a restart or a lost session, whose ticket the caller checked.
struct AdoptCommand {
  SessionId session;
  Uid uid;
  absl::string_view model;  // upstream name, canonical; empty: none
  uint64_t material_version = 0;
  absl::Time granted, expires;
};

enum class AdoptResult : uint8_t {
  kAdopted,
  kNotOpen,   // the session
  kNotFound,  // deleted, or no usable secret
  kDisabled,
  kExpired,
  kOverCap,  // the leases known fill its cap, or the principal holds as many as it may
};
absl::string_view Name(AdoptResult v);

struct AdoptReply {
  AdoptResult result = AdoptResult::kNotOpen;
  LeaseSeq seq;  // its new number, and its order
  uint32_t cell = 0;
  absl::Time granted, expires;  // as the pool holds them
};

enum class Disposition : uint8_t {
  kAccepted,   // the lease was live; its rules were applied
  kNoted,      // early report: lease still live
  kDuplicate,  // already reported; same answer as then
  kLate,       // after expiry or release: health rules only
  kStale,      // about an older material or incarnation: nothing changed
  kUnknown,    // forged, foreign, deleted, or too old
};
inline constexpr int kDispositionCount = 6;
absl::string_view Name(Disposition v);

struct ReportCommand {
  absl::string_view principal;
  const LeaseClaims* claims = nullptr;          // of a unary lease, or
  const SessionLease* session_lease = nullptr;  // of a session's; `principal` is not looked at
  const Verdict* verdict = nullptr;
  bool early = false;
  // The secret it is about; 0, or newer than the credential's: that of the lease.
  uint64_t material_version = 0;
  // When it happened, the time the verdict's durations count from; cut to between grant and now.
  absl::Time happened = absl::InfiniteFuture();
  // Leave the document out of the reply to a report that ends a live lease: nobody looks at it, and
  // holding it touches memory that is cold in a large fleet.
  bool terse = false;
};

struct ReportReply {
  Disposition disposition = Disposition::kUnknown;
  Advice advice = Advice::kNone;
  State state = State::kAvailable;  // of the credential, or (credential, model) if narrower
  absl::Time next_recover = absl::InfinitePast();  // WAITING only
  Outcome outcome = Outcome::kOther;               // what the policy saw
  Cause cause = Cause::kNone;                      // of a state that is not AVAILABLE
  std::shared_ptr<const Document> document;        // null: kUnknown
  bool refresh_wanted = false;  // the caller's refresher should exchange its token now
};

enum class RenewResult : uint8_t { kRenewed, kNotFound, kDisabled };
struct RenewReply {
  RenewResult result = RenewResult::kNotFound;
  absl::Time expires;
  bool at_max = false;  // renewed for nothing: it lives to its hard maximum already
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_COMMAND_H_
