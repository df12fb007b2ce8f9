// A pool with N credentials in one of the situations the core is measured in, and the pair Acquire
// + Report(success) on it, each under an uncontended lock as the server takes it.
// Thread-compatible.
#ifndef CREDBROKER_TESTS_BENCH_FLEET_H_
#define CREDBROKER_TESTS_BENCH_FLEET_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/policy.h"
#include "core/pool.h"

namespace credbroker::bench {

enum class Situation : uint8_t {
  kAllAvailable,
  kWaiting90,   // 90 % WAITING
  kWaiting99,   // 99 % WAITING
  kAllCooling,  // a step is one refused Acquire
  kAffinity,    // every call carries one of 10,000 session keys
  kWeighted,    // strategy weighted, weights 1 to 5
};
inline constexpr int kSituations = 6;
absl::string_view Name(Situation situation);

// kLiveLeases leases are live all the while and the memory of ended ones is full, so that a step
// finds the pool as a long-running server has it.
class Fleet {
 public:
  // `shuffled`: credentials were created in another order than that of their ids, so neighbours in
  // the order of selection are strangers in memory. Otherwise as after a restart.
  Fleet(Situation situation, int credentials, bool shuffled);
  // Returns something that depends on every answer. Aborts on an answer that should not be.
  uint64_t Run(int steps);
  // The same with a session: stock in batches, each lease of which is reported as a success. A step
  // is one lease. The lock is taken once for a batch of either.
  uint64_t RunStock(int steps);

 private:
  void Load(int credentials, bool shuffled);
  void HoldLeases();
  core::Grant Acquire();
  void Report(const core::Grant& grant, const core::Verdict& verdict);
  uint64_t Refuse();

  const Situation situation_;
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  std::unique_ptr<core::Pool> pool_;
  core::Effects effects_;
  core::Verdict success_;
  core::LeaseClaims claims_;
  core::SessionId session_;  // of RunStock
  std::vector<core::StockLease> stock_;
  std::vector<std::string> sessions_;
  size_t next_session_ = 0;
  std::mutex mutex_;
};

}  // namespace credbroker::bench

#endif  // CREDBROKER_TESTS_BENCH_FLEET_H_
