// What the two halves of session_client share: loads and revocations.
#ifndef CREDBROKER_TESTS_BENCH_SESSION_CLIENT_H_
#define CREDBROKER_TESTS_BENCH_SESSION_CLIENT_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "credbroker/v1/broker.grpc.pb.h"

namespace credbroker::bench {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string target, mode = "stock", save;
  int sessions = 1, connections = 1, batch = 32, in_flight = 4, count = 500;
  double seconds = 1, warm_up = 0.3;
};

// A connection of its own.
std::shared_ptr<grpc::Channel> Connect(const Options& options);
// Declares target 1, which every mode uses.
void AddTarget(v1::SessionRequest& request);
// Members of a JSON object: p50_us, p99_us and max_us. Sorts what it is given.
void PrintLatency(std::vector<uint32_t>& nanoseconds);

// session_revoke.cc. The exit code.
int RunRevoke(const Options& options);

}  // namespace credbroker::bench

#endif  // CREDBROKER_TESTS_BENCH_SESSION_CLIENT_H_
