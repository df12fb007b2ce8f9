// A small seeded generator for property tests: the same numbers on every machine.
// Thread-compatible.
#ifndef CREDBROKER_TESTS_CORE_RANDOM_H_
#define CREDBROKER_TESTS_CORE_RANDOM_H_

#include <cstdint>
#include <string>

namespace credbroker::core {

class Random {  // SplitMix64
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  // A text of up to `max` characters out of `alphabet`.
  std::string Text(const std::string& alphabet, uint64_t max) {
    std::string text(Below(max + 1), ' ');
    for (char& c : text) c = alphabet[Below(alphabet.size())];
    return text;
  }

 private:
  uint64_t state_;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_TESTS_CORE_RANDOM_H_
