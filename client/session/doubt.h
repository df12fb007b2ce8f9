// Doubts: what this client's own failures say of a credential until the broker has judged them.
//
// From the moment a failure is reported until its disposition is back, no lease of the same
// (credential, model) is handed out of stock: the broker's revocation, which comes ahead of the
// disposition, then decides. The broker knows which scope a failure has; what is withheld here is
// the part that every scope covers.
//
// Thread-safety: all functions may be called from any thread.
#ifndef CREDBROKER_CLIENT_SESSION_DOUBT_H_
#define CREDBROKER_CLIENT_SESSION_DOUBT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/session/mutex.h"
#include "credbroker/v1/lease.pb.h"

namespace credbroker::client {

enum class Doubt : uint8_t {
  kNone,
  // 408, 5xx: it may be benched for seconds. Without a connection nobody judges it, so that it
  // would bench the last credential of all: it counts only while there is one.
  kTransient,
  // 404: the model is not there.
  kModel,
  // 401, 402, 403, 429 and the like: the last known material is not served either.
  kCredential,
};

// By the outcome, if it says one, else by the status.
Doubt DoubtOf(const v1::ReportItem& item);

// Of one credential.
class Doubts {
 public:
  Doubts() = default;
  Doubts(const Doubts&) = delete;
  Doubts& operator=(const Doubts&) = delete;

  void Raise(const std::string& model, Doubt doubt);
  // REQUIRES: Raise was called with the same.
  void Settle(const std::string& model, Doubt doubt);
  // Whether stock of this model is withheld.
  bool Withhold(const std::string& model) const;
  // Whether the credential itself is in doubt.
  bool Serious() const { return serious_.load(std::memory_order_acquire) != 0; }

 private:
  std::atomic<int> all_{0};
  std::atomic<int> serious_{0};
  mutable Mutex mutex_;
  // How many, by model.
  std::vector<std::pair<std::string, int>> models_ ABSL_GUARDED_BY(mutex_);
};

struct Credential;

// One doubt, for as long as somebody keeps this.
class DoubtHold {
 public:
  DoubtHold(std::shared_ptr<Credential> credential, std::shared_ptr<const std::string> model,
            Doubt doubt);
  ~DoubtHold();
  DoubtHold(const DoubtHold&) = delete;
  DoubtHold& operator=(const DoubtHold&) = delete;

  Doubt doubt() const { return doubt_; }

 private:
  const std::shared_ptr<Credential> credential_;
  const std::shared_ptr<const std::string> model_;
  const Doubt doubt_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_DOUBT_H_
