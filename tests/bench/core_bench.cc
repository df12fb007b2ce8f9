// Times the core's pair Acquire + Report(success) beside Floor(N), round by round in one process,
// and writes every sample as JSON; `run` makes medians and intervals of them. A refused Acquire is
// timed beside a granted one, and a session's lease from stock beside the unary pair.
//
//   core_bench [--smoke] [--rounds N] [--steps N] [--sizes 1000,10000] [--situation NUMBER]
//              [--sorted] [--only-pairs | --only-stock]
//
// --only-pairs runs `rounds` batches of the first size and prints nothing else: for a profiler.
// --only-stock does so with leases from stock.
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/bench/fleet.h"
#include "tests/bench/floor.h"

namespace credbroker::bench {
namespace {

struct Options {
  int rounds = 9;
  int steps = 20'000;
  std::vector<int> sizes = {1'000, 10'000, 100'000, 1'000'000};
  int situation = -1;  // all
  bool shuffled = true;
  bool only_pairs = false, only_stock = false;
};

volatile uint64_t sink;  // keeps the compiler from dropping what is timed

// Something that is timed in every round.
struct Subject {
  std::string what;  // "pair", "floor", "grant" or "stock"
  int credentials = 0;
  std::function<uint64_t(int)> run;
  std::vector<double> nanoseconds;  // a step, one number a round
};

// Of this thread, so that other work on the machine counts only by what it does to the caches.
double CpuNanoseconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return 1e9 * static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec);
}

double TimeSteps(Subject& subject, int steps) {
  const double start = CpuNanoseconds();
  sink = subject.run(steps);
  return (CpuNanoseconds() - start) / steps;
}

void Print(const char* situation, const Subject& subject, bool* first) {
  std::printf("%s\n  {\"situation\": \"%s\", \"what\": \"%s\", \"credentials\": %d, \"ns\": [",
              *first ? "" : ",", situation, subject.what.c_str(), subject.credentials);
  for (size_t i = 0; i < subject.nanoseconds.size(); ++i) {
    std::printf("%s%.1f", i == 0 ? "" : ", ", subject.nanoseconds[i]);
  }
  std::printf("]}");
  *first = false;
}

void Measure(Situation situation, const Options& options,
             std::vector<std::unique_ptr<Floor>>& floors, bool* first) {
  std::vector<std::unique_ptr<Fleet>> fleets;
  std::vector<Subject> subjects;
  for (size_t i = 0; i < options.sizes.size(); ++i) {
    const int size = options.sizes[i];
    fleets.push_back(std::make_unique<Fleet>(situation, size, options.shuffled));
    Fleet* const fleet = fleets.back().get();
    subjects.push_back({"pair", size, [fleet](int steps) { return fleet->Run(steps); }, {}});
    Floor* const floor = floors[i].get();
    if (situation == Situation::kAllAvailable) {
      fleets.push_back(std::make_unique<Fleet>(situation, size, options.shuffled));
      Fleet* const stocked = fleets.back().get();
      subjects.push_back(
          {"stock", size, [stocked](int steps) { return stocked->RunStock(steps); }, {}});
    }
    subjects.push_back({"floor", size, [floor](int steps) { return floor->Run(steps); }, {}});
    if (situation == Situation::kAllCooling) {
      fleets.push_back(std::make_unique<Fleet>(Situation::kAllAvailable, size, options.shuffled));
      Fleet* const healthy = fleets.back().get();
      subjects.push_back({"grant", size, [healthy](int steps) { return healthy->Run(steps); }, {}});
    }
  }
  std::mt19937 random(4);
  std::vector<size_t> order(subjects.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  for (int round = 0; round < options.rounds; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (const size_t i : order) {
      TimeSteps(subjects[i], options.steps / 10 + 1);  // brings its memory back into the caches
      subjects[i].nanoseconds.push_back(TimeSteps(subjects[i], options.steps));
    }
  }
  for (const Subject& subject : subjects)
    Print(std::string(Name(situation)).c_str(), subject, first);
}

std::vector<int> Numbers(const char* text) {
  std::vector<int> numbers;
  for (const char* p = text; *p != '\0';) {
    char* end = nullptr;
    numbers.push_back(static_cast<int>(std::strtol(p, &end, 10)));
    p = *end == ',' ? end + 1 : end;
    if (end == p && *p != '\0') std::exit(2);
  }
  return numbers;
}

bool Parse(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--smoke") {
      options->rounds = 1;
      options->steps = 1'000;
      options->sizes = {1'000};
    } else if (name == "--sorted") {
      options->shuffled = false;
    } else if (name == "--only-pairs") {
      options->only_pairs = true;
    } else if (name == "--only-stock") {
      options->only_stock = true;
    } else if (i + 1 == argc) {
      return false;
    } else if (name == "--rounds") {
      options->rounds = std::atoi(argv[++i]);
    } else if (name == "--steps") {
      options->steps = std::atoi(argv[++i]);
    } else if (name == "--sizes") {
      options->sizes = Numbers(argv[++i]);
    } else if (name == "--situation") {
      options->situation = std::atoi(argv[++i]);
    } else {
      return false;
    }
  }
  return options->rounds > 0 && options->steps > 0 && !options->sizes.empty();
}

int Main(int argc, char** argv) {
  Options options;
  if (!Parse(argc, argv, &options)) {
    std::fprintf(stderr, "core_bench: unknown or incomplete option\n");
    return 2;
  }
  if (options.only_pairs || options.only_stock) {
    Fleet fleet(static_cast<Situation>(std::max(0, options.situation)), options.sizes[0],
                options.shuffled);
    for (int i = 0; i < options.rounds; ++i) {
      sink = options.only_stock ? fleet.RunStock(options.steps) : fleet.Run(options.steps);
    }
    return 0;
  }
  std::vector<std::unique_ptr<Floor>> floors;
  for (const int size : options.sizes) floors.push_back(std::make_unique<Floor>(size));
  std::printf("{\"steps\": %d, \"layout\": \"%s\", \"samples\": [", options.steps,
              options.shuffled ? "shuffled" : "sorted");
  bool first = true;
  for (int i = 0; i < kSituations; ++i) {
    if (options.situation >= 0 && options.situation != i) continue;
    Measure(static_cast<Situation>(i), options, floors, &first);
  }
  std::printf("\n]}\n");
  return 0;
}

}  // namespace
}  // namespace credbroker::bench

int main(int argc, char** argv) {
  // With one thread glibc takes locks, and libstdc++ counts references, without atomic
  // instructions. The server has more than one.
  std::mutex idle;
  idle.lock();
  std::thread second([&idle] { std::lock_guard<std::mutex> wait(idle); });
  const int result = credbroker::bench::Main(argc, argv);
  idle.unlock();
  second.join();
  return result;
}
