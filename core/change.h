// A Change is why (past tense) plus the whole new value of one record. Store, audit, metrics, watch
// and console read the same list and know nothing of each other. Values; thread-compatible.
#ifndef CREDBROKER_CORE_CHANGE_H_
#define CREDBROKER_CORE_CHANGE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/availability.h"
#include "core/command.h"
#include "core/credential.h"

namespace credbroker::core {

struct ScopedRecord {
  std::string model;  // empty: credential scope
  AvailabilityRecord record;
};

// Health of one credential as stored: absolute times only. Written behind.
struct HealthRecord {
  Uid uid;
  AuthHealth auth = AuthHealth::kOk;
  Cause policy_cause = Cause::kNone;  // why DISABLED by policy
  absl::Time policy_since = absl::UnixEpoch();
  std::vector<ScopedRecord> records;
  std::vector<RateWindow> windows;
};

// A backoff of the pool: of a provider, of a (provider, model) or of an egress.
struct BackoffRecord {
  std::string provider;       // empty: of an egress
  std::string model;          // empty: whole provider
  AvailabilityRecord record;  // cause kNone: it is over, nothing is to be remembered
  std::string egress;         // proxy URL, may hold a password; empty: of a provider
};

enum class RecordKind : uint8_t { kDocument, kIntent, kSecret, kHealth, kBackoff, kDeleted };

// Durable kinds (document, intent, secret, deleted) appear only in what Prepare returns and in the
// notice of its Install; health and backoff come from reports and timers.
struct Change {
  RecordKind kind = RecordKind::kHealth;
  Why why = Why::kUpdated;
  std::string id;  // credential id; empty for backoffs
  Uid uid;
  absl::Time at;
  std::shared_ptr<const Document> document;      // kDocument
  std::optional<Intent> intent;                  // kIntent
  std::shared_ptr<const SecretMaterial> secret;  // kSecret
  std::shared_ptr<const HealthRecord> health;    // kHealth; null: records of it are unchanged
  std::shared_ptr<const BackoffRecord> backoff;  // kBackoff
  std::optional<Transition> transition;          // the line this change adds to the history
};

// A parked call that got its answer.
struct Woken {
  WaiterId waiter;
  AcquireReply reply;
};

// Why stock of a credential is void.
enum class RevokeReason : uint8_t {
  kCooling,   // WAITING, or half-open: only probes may use it
  kDisabled,  // by an operator or by policy
  kDeleted,   // its leases have ended
  kChanged,   // a cap was introduced, or it serves other calls than before
};
absl::string_view Name(RevokeReason v);

// A credential, or a (credential, model), of which a session holds leases may no longer be handed
// out of stock. Leases in use go on, unless it was deleted.
struct Revoked {
  Uid uid;
  std::string model;  // upstream name; empty: of every one
  LeaseSeq covers;    // revokes leases up to this number; later grants are not meant
  RevokeReason reason = RevokeReason::kCooling;
  Cause cause = Cause::kNone;                 // where it waits or is disabled
  absl::Time until = absl::InfiniteFuture();  // expected back; InfiniteFuture: unknown
};

// What a command did besides its reply, in order.
struct Effects {
  std::vector<Change> changes;
  std::vector<Woken> woken;
  std::vector<Uid> refresh_wanted;
  std::vector<Revoked> revoked;
  bool empty() const {
    return changes.empty() && woken.empty() && refresh_wanted.empty() && revoked.empty();
  }
  void clear() {
    changes.clear();
    woken.clear();
    refresh_wanted.clear();
    revoked.clear();
  }
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_CHANGE_H_
