#include "core/history.h"

#include <algorithm>

#include "core/check.h"

namespace credbroker::core {

Transition History::Push(Transition line, ModelId* dropped) {
  line.number = ++number_;
  *dropped = kNoModel;
  Line packed;
  packed.at_ms = line.at_ms;
  constexpr int64_t kMost = (int64_t{1} << 40) - 1;
  const int64_t after = line.until_ms == 0 ? 0 : line.until_ms - line.at_ms;
  packed.until_after_ms = static_cast<uint64_t>(std::clamp<int64_t>(after, 0, kMost)) & kMost;
  packed.from = static_cast<uint64_t>(line.from) & 3;
  packed.to = static_cast<uint64_t>(line.to) & 3;
  packed.why = static_cast<uint64_t>(line.why) & 63;
  packed.cause = static_cast<uint64_t>(line.cause) & 63;
  static_assert(kWhyCount <= 64 && kCauseCount <= 64 && kStateCount <= 4);
  packed.model = line.model;
  packed.actor = line.actor;
  if (lines_.size() < kLines) {
    lines_.push_back(packed);
    return line;
  }
  *dropped = lines_[oldest_].model;
  lines_[oldest_] = packed;
  oldest_ = static_cast<uint8_t>((oldest_ + 1) % kLines);
  return line;
}

Transition History::Unpack(size_t at) const {
  CB_CHECK(at < lines_.size());
  const Line& packed = lines_[at];
  const size_t newest = lines_.size() < kLines ? lines_.size() - 1 : Last();
  Transition line;
  line.at_ms = packed.at_ms;
  if (packed.until_after_ms != 0) {
    line.until_ms = packed.at_ms + static_cast<int64_t>(packed.until_after_ms);
  }
  line.number = number_ - (newest + kLines - at) % kLines;
  line.model = packed.model;
  line.actor = packed.actor;
  line.from = static_cast<State>(packed.from);
  line.to = static_cast<State>(packed.to);
  line.why = static_cast<Why>(packed.why);
  line.cause = static_cast<Cause>(packed.cause);
  return line;
}

void History::ForEachNewestFirst(absl::FunctionRef<void(const Transition&)> visit) const {
  const size_t newest = lines_.empty() || lines_.size() < kLines ? lines_.size() - 1 : Last();
  for (size_t i = 0; i < lines_.size(); ++i) visit(Unpack((newest + kLines - i) % kLines));
}

}  // namespace credbroker::core
