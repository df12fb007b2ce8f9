// How long a revocation takes from the answer to the report on one session to its receipt on
// another.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/session_client.h"

namespace credbroker::bench {
namespace {

// One session read by a thread of its own, which notes when each credential was revoked.
class Reader {
 public:
  Reader(v1::BrokerService::Stub& stub, uint32_t stock) : call_(stub.Session(&context_)) {
    v1::SessionRequest request;
    request.set_number(1);
    request.mutable_hello()->set_client("session_client");
    AddTarget(request);
    while (stock > 0) {
      const uint32_t some = std::min<uint32_t>(stock, 512);
      request.add_prefetches()->set_target(1);
      request.mutable_prefetches(request.prefetches_size() - 1)->set_count(some);
      stock -= some;
    }
    call_->Write(request);
    thread_ = std::thread([this] { Run(); });
  }
  ~Reader() {
    context_.TryCancel();
    thread_.join();
  }
  // Waits until `done` under the lock.
  template <typename Done>
  bool Wait(Done done) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), done);
  }
  void Report(uint64_t lease) {
    v1::SessionRequest request;
    request.set_number(++number_);
    v1::SessionReport* report = request.add_reports();
    report->set_lease(lease);
    report->mutable_item()->set_http_status(429);
    v1::Header* header = report->mutable_item()->add_headers();
    header->set_name("retry-after");
    header->set_value("600");
    {
      // The broker ends a session that acknowledges nothing for its ttl.
      std::lock_guard lock(mutex_);
      request.set_acknowledged_revocation(newest_);
    }
    call_->Write(request);
  }

  std::map<std::string, uint64_t> leases;            // by credential id
  std::map<std::string, Clock::time_point> revoked;  // the same
  std::map<uint64_t, Clock::time_point> results;     // by lease
  uint64_t processed = 0, stocked = 0;

 private:
  void Run() {
    std::map<uint32_t, std::string> ids;
    v1::SessionResponse response;
    while (call_->Read(&response)) {
      const Clock::time_point now = Clock::now();
      std::lock_guard lock(mutex_);
      for (const auto& credential : response.credentials()) {
        ids[credential.credential()] = credential.credential_id();
      }
      for (const auto& stock : response.stocks()) {
        stocked += static_cast<uint64_t>(stock.leases_size());
        for (int i = 0; i < stock.leases_size(); ++i) {
          leases[ids[stock.credentials(i)]] = stock.leases(i);
        }
      }
      for (const auto& revocation : response.revocations()) {
        revoked.emplace(ids[revocation.credential()], now);
        newest_ = revocation.number();
      }
      for (const auto& result : response.results()) results.emplace(result.lease(), now);
      processed = std::max(processed, response.processed());
      changed_.notify_all();
    }
  }

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::SessionRequest, v1::SessionResponse>> call_;
  uint64_t number_ = 1;
  uint64_t newest_ = 0;  // revocation; under mutex_
  std::mutex mutex_;
  std::condition_variable changed_;
  std::thread thread_;
};

}  // namespace

int RunRevoke(const Options& options) {
  const auto stub_a = v1::BrokerService::NewStub(Connect(options));
  const auto stub_b = v1::BrokerService::NewStub(Connect(options));
  // Each draws more than there are credentials to revoke, so that both know all of them.
  const auto stock = static_cast<uint32_t>(options.count * 2);
  Reader a(*stub_a, stock), b(*stub_b, stock);
  if (!a.Wait([&] { return a.processed >= 1; }) || !b.Wait([&] { return b.processed >= 1; })) {
    std::fprintf(stderr, "session_client: no stock\n");
    return 1;
  }
  std::vector<uint32_t> nanoseconds;
  int missing = 0;
  for (const auto& [id, lease] : std::map<std::string, uint64_t>(a.leases)) {
    if (nanoseconds.size() + static_cast<size_t>(missing) >= static_cast<size_t>(options.count))
      break;
    if (b.leases.count(id) == 0) continue;
    a.Report(lease);
    if (!a.Wait([&, l = lease] { return a.results.count(l) != 0; }) ||
        !b.Wait([&, name = id] { return b.revoked.count(name) != 0; })) {
      ++missing;
      continue;
    }
    const auto late = b.revoked[id] - a.results[lease];
    nanoseconds.push_back(late.count() < 0 ? 0 : static_cast<uint32_t>(late.count()));
  }
  std::printf("{\"revocations\": %zu, \"missing\": %d, ", nanoseconds.size(), missing);
  PrintLatency(nanoseconds);
  std::printf("}\n");
  return missing == 0 ? 0 : 1;
}

}  // namespace credbroker::bench
