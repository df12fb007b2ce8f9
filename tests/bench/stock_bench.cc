// What a local acquire costs its caller: TryAcquire and the lease's end, call by call, by one
// thread and by two at once, with the session's own thread refilling and reporting beside them
// against a broker in this process.
//
//   stock_bench [--smoke] [--json] [--seconds N]     default 3 s for each number of threads
//
// Prints, for each: leases a second, p50, p99 and p99.9 of Acquire and of ReportSuccess in ns, and
// the share that came out of stock. --json: one line, for tests/bench/run.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/session/runner.h"
#include "credbroker/client/session.h"
#include "tests/client/fake_broker.h"

namespace {

using credbroker::client::EpochGate;
using credbroker::client::FakeBroker;
using credbroker::client::Session;
using credbroker::client::SessionParts;
using credbroker::client::SessionRunner;
using credbroker::client::Stream;
using credbroker::client::SystemClock;
using credbroker::client::SystemRandom;
using credbroker::client::Target;
using credbroker::client::TargetId;
using Clock = std::chrono::steady_clock;

// What one thread saw. Fixed size: the bench shall not allocate while it measures.
struct Samples {
  std::vector<uint32_t> acquire_ns;
  std::vector<uint32_t> report_ns;
  size_t taken = 0;
  size_t missed = 0;
};

uint32_t NanosBetween(Clock::time_point from, Clock::time_point to) {
  const int64_t ns = std::chrono::duration_cast<std::chrono::nanoseconds>(to - from).count();
  return static_cast<uint32_t>(std::min<int64_t>(ns, UINT32_MAX));
}

// Between two acquires of one thread: as a proxy that serves 50,000 requests a second and thread.
constexpr std::chrono::microseconds kPace(20);

void Work(Session& session, TargetId target, Clock::time_point end, Samples* samples) {
  auto next = Clock::now();
  while (next < end && samples->acquire_ns.size() < samples->acquire_ns.capacity()) {
    while (Clock::now() < next) {
    }
    next += kPace;
    const auto before = Clock::now();
    auto lease = session.TryAcquire(target);
    const auto taken = Clock::now();
    if (!lease.has_value()) {
      ++samples->missed;
      continue;
    }
    samples->acquire_ns.push_back(NanosBetween(before, taken));
    const auto begin = Clock::now();
    lease->ReportSuccess();
    samples->report_ns.push_back(NanosBetween(begin, Clock::now()));
    ++samples->taken;
  }
}

uint32_t Percentile(std::vector<uint32_t>& all, double fraction) {
  if (all.empty()) return 0;
  const auto index = static_cast<size_t>(fraction * static_cast<double>(all.size() - 1));
  std::nth_element(all.begin(), all.begin() + static_cast<int64_t>(index), all.end());
  return all[index];
}

struct Figures {
  int threads = 0;
  double per_second = 0, from_stock = 0;
  std::vector<uint32_t> acquire, report;
};

void PrintLine(const char* name, std::vector<uint32_t>& all) {
  std::cout << "  " << name << " ns: p50 " << Percentile(all, 0.5) << "  p99 "
            << Percentile(all, 0.99) << "  p99.9 " << Percentile(all, 0.999) << "\n";
}

void Print(Figures& figures) {
  std::cout << figures.threads << " thread(s): " << static_cast<int64_t>(figures.per_second)
            << " leases/s, " << 100 * figures.from_stock << " % from stock\n";
  PrintLine("acquire", figures.acquire);
  PrintLine("report ", figures.report);
}

void PrintJson(Figures& figures) {
  std::cout << "{\"threads\": " << figures.threads << ", \"per_second\": " << figures.per_second
            << ", \"from_stock\": " << figures.from_stock
            << ", \"acquire_p50_ns\": " << Percentile(figures.acquire, 0.5)
            << ", \"acquire_p99_ns\": " << Percentile(figures.acquire, 0.99)
            << ", \"report_p50_ns\": " << Percentile(figures.report, 0.5)
            << ", \"report_p99_ns\": " << Percentile(figures.report, 0.99) << "}";
}

std::optional<Figures> Measure(int threads, double seconds) {
  auto* broker = new FakeBroker(*SystemClock(), true);
  for (int i = 0; i < 100; ++i) broker->Add(absl::StrCat("c", i));
  broker->SetForgetful(true);
  Session session(std::make_unique<SessionRunner>(
      credbroker::client::SessionOptions{},
      SessionParts{SystemClock(), SystemRandom(), std::make_shared<EpochGate>()},
      std::unique_ptr<Stream>(broker)));
  if (!session.WaitConnected(absl::Seconds(10))) return std::nullopt;
  Target target;
  target.providers = {"openai"};
  target.stock = {.max = 512, .initial = 512};
  const TargetId id = *session.Declare(target);
  while (session.stats().in_stock < 512) std::this_thread::yield();

  std::vector<Samples> samples(static_cast<size_t>(threads));
  for (Samples& one : samples) {
    one.acquire_ns.reserve(4 << 20);
    one.report_ns.reserve(4 << 20);
  }
  std::vector<std::thread> workers;
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::microseconds(static_cast<int64_t>(seconds * 1e6));
  workers.reserve(samples.size());
  for (Samples& one : samples) {
    workers.emplace_back([&] { Work(session, id, end, &one); });
  }
  for (std::thread& worker : workers) worker.join();
  const double took = std::chrono::duration<double>(Clock::now() - begin).count();

  Figures figures;
  size_t taken = 0;
  size_t missed = 0;
  for (const Samples& one : samples) {
    figures.acquire.insert(figures.acquire.end(), one.acquire_ns.begin(), one.acquire_ns.end());
    figures.report.insert(figures.report.end(), one.report_ns.begin(), one.report_ns.end());
    taken += one.taken;
    missed += one.missed;
  }
  if (taken == 0) return std::nullopt;
  figures.threads = threads;
  figures.per_second = static_cast<double>(taken) / took;
  figures.from_stock = static_cast<double>(taken) / static_cast<double>(taken + missed);
  return figures;
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 3;
  bool json = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--smoke") == 0) {
      seconds = 0.05;
    } else if (std::strcmp(argv[i], "--json") == 0) {
      json = true;
    } else if (std::strcmp(argv[i], "--seconds") == 0 && i + 1 < argc &&
               absl::SimpleAtod(argv[i + 1], &seconds)) {
      ++i;
    } else {
      std::cerr << "usage: stock_bench [--smoke] [--json] [--seconds N]\n";
      return 2;
    }
  }
  const char* before = "[";
  for (const int threads : {1, 2}) {
    std::optional<Figures> figures = Measure(threads, seconds);
    if (!figures) {
      std::cerr << "stock_bench: no lease was taken\n";
      return 1;
    }
    if (!json) {
      Print(*figures);
      continue;
    }
    std::cout << before;
    PrintJson(*figures);
    before = ", ";
  }
  if (json) std::cout << "]\n";
  return 0;
}
