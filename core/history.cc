#include "core/history.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"

namespace credbroker::core {
namespace {

// Two times and two ids in base 128, and two bytes of states, reason and cause.
constexpr size_t kMaxLine = 10 + 10 + 5 + 5 + 2;

uint8_t* PutVarint(uint8_t* to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *to++ = static_cast<uint8_t>(value | 0x80);
  *to++ = static_cast<uint8_t>(value);
  return to;
}

const uint8_t* GetVarint(const uint8_t* from, uint64_t* value) {
  *value = 0;
  int shift = 0;
  do {
    *value |= static_cast<uint64_t>(*from & 0x7f) << shift;
    shift += 7;
  } while ((*from++ & 0x80) != 0);
  return from;
}

// Small numbers of either sign become small ones without (zigzag).
uint64_t Folded(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}
int64_t Unfolded(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

static_assert(kWhyCount <= 64 && kCauseCount <= 64 && kStateCount <= 4);

uint8_t* PutLine(uint8_t* to, const Transition& line, int64_t before_ms) {
  to = PutVarint(to, Folded(line.at_ms - before_ms));
  to = PutVarint(to, line.until_ms == 0 ? 0 : Folded(line.until_ms - line.at_ms) + 1);
  to = PutVarint(to, line.model.number());
  to = PutVarint(to, line.actor.number());
  *to++ = static_cast<uint8_t>(static_cast<int>(line.why) << 2 | static_cast<int>(line.from));
  *to++ = static_cast<uint8_t>(static_cast<int>(line.cause) << 2 | static_cast<int>(line.to));
  return to;
}

const uint8_t* GetLine(const uint8_t* from, int64_t before_ms, Transition* line) {
  uint64_t number = 0;
  from = GetVarint(from, &number);
  line->at_ms = before_ms + Unfolded(number);
  from = GetVarint(from, &number);
  line->until_ms = number == 0 ? 0 : line->at_ms + Unfolded(number - 1);
  from = GetVarint(from, &number);
  line->model = ModelId(static_cast<uint32_t>(number));
  from = GetVarint(from, &number);
  line->actor = PrincipalId(static_cast<uint32_t>(number));
  line->from = static_cast<State>(from[0] & 3);
  line->why = static_cast<Why>(from[0] >> 2);
  line->to = static_cast<State>(from[1] & 3);
  line->cause = static_cast<Cause>(from[1] >> 2);
  return from + 2;
}

}  // namespace

Transition History::Push(Transition line, ModelId* dropped) {
  Lines lines;
  size_t count = Unpack(&lines);
  line.number = ++number_;
  lines[count++] = line;
  *dropped = kNoModel;
  const Transition* first = lines.data();
  if (count > kLines) {
    *dropped = first->model;
    ++first;
  }
  std::array<uint8_t, 1 + kLines * kMaxLine> packed;
  const Transition* const end = lines.data() + count;
  packed[0] = static_cast<uint8_t>(end - first);
  uint8_t* to = packed.data() + 1;
  int64_t before_ms = 0;
  for (; first != end; ++first) {
    to = PutLine(to, *first, before_ms);
    before_ms = first->at_ms;
  }
  const auto size = static_cast<size_t>(to - packed.data());
  const size_t rooms = (size + kRoom - 1) / kRoom;
  if (rooms != rooms_) bytes_.reset(new uint8_t[rooms * kRoom]);
  rooms_ = rooms & 0xff;
  std::memcpy(bytes_.get(), packed.data(), size);
  return line;
}

size_t History::Unpack(Lines* lines) const {
  if (empty()) return 0;
  const size_t count = bytes_[0];
  const uint8_t* from = bytes_.get() + 1;
  int64_t before_ms = 0;
  for (size_t i = 0; i < count; ++i) {
    Transition& line = (*lines)[i];
    from = GetLine(from, before_ms, &line);
    before_ms = line.at_ms;
    line.number = number_ + 1 + i - count;
  }
  return count;
}

Transition History::Newest() const {
  Lines lines;
  const size_t count = Unpack(&lines);
  CB_CHECK(count > 0);
  return lines[count - 1];
}

void History::ForEachNewestFirst(absl::FunctionRef<void(const Transition&)> visit) const {
  Lines lines;
  for (size_t left = Unpack(&lines); left > 0; --left) visit(lines[left - 1]);
}

}  // namespace credbroker::core
