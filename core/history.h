// The newest transitions of one credential, packed: some ten bytes a line where a Transition has
// 40, as each of many credentials keeps eight. Thread-compatible.
#ifndef CREDBROKER_CORE_HISTORY_H_
#define CREDBROKER_CORE_HISTORY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

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
  Transition Newest() const;
  void ForEachNewestFirst(absl::FunctionRef<void(const Transition&)> visit) const;
  bool empty() const { return bytes_ == nullptr; }
  // Number of the newest line ever; set at load, as older ones lie in the store.
  uint64_t number() const { return number_; }
  void set_number(uint64_t number) { number_ = number & ((uint64_t{1} << 56) - 1); }

 private:
  using Lines = std::array<Transition, kLines + 1>;  // oldest first
  size_t Unpack(Lines* lines) const;                 // how many
  // Room for four common lines at a time: less to and fro in the heap than a fit for each.
  static constexpr size_t kRoom = 48;

  // How many lines, then the lines, oldest first: times as differences from the line before and
  // ids in as few bytes as they need.
  std::unique_ptr<uint8_t[]> bytes_;
  uint64_t number_ : 56 = 0;
  uint64_t rooms_ : 8 = 0;  // size of bytes_ in steps of kRoom
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_HISTORY_H_
