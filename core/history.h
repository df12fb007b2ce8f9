// The newest transitions of one credential, packed: 24 bytes a line where a Transition has 40, as
// each of many credentials keeps eight. Thread-compatible.
#ifndef CREDBROKER_CORE_HISTORY_H_
#define CREDBROKER_CORE_HISTORY_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/credential.h"

namespace credbroker::core {

class History {
 public:
  static constexpr size_t kLines = 8;

  // Numbers the line and keeps it. Returns it as kept; *dropped is the model of the line that left
  // (kNoModel if none did).
  Transition Push(Transition line, ModelId* dropped);
  // REQUIRES: not empty.
  Transition Newest() const { return Unpack(lines_.size() < kLines ? lines_.size() - 1 : Last()); }
  void ForEachNewestFirst(absl::FunctionRef<void(const Transition&)> visit) const;
  bool empty() const { return lines_.empty(); }
  // Number of the newest line ever; set at load, as older ones lie in the store.
  uint64_t number() const { return number_; }
  void set_number(uint64_t number) { number_ = number; }

 private:
  struct Line {
    int64_t at_ms;
    uint64_t until_after_ms : 40;  // 0: none; 34 years
    uint64_t from : 2;
    uint64_t to : 2;
    uint64_t why : 6;
    uint64_t cause : 6;
    ModelId model;
    PrincipalId actor;
  };
  static_assert(sizeof(Line) == 24);
  size_t Last() const { return (oldest_ + kLines - 1) % kLines; }
  Transition Unpack(size_t at) const;

  std::vector<Line> lines_;  // a ring once it is full
  uint64_t number_ = 0;
  uint8_t oldest_ = 0;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_HISTORY_H_
