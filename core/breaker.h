// Correlated failures (rule 8): one breaker for each provider and each named egress proxy. It opens
// when bad outcomes came from at least 3 credentials and at least half of the distinct credentials
// that reported within 10 s (ten whole seconds, the present one included). Open 10 s, doubling to
// 5 min; then one probe: success closes, failure opens again. Counts are O(1): a credential's
// latest report second is kept by the caller in a BreakerMember. Thread-compatible.
#ifndef CREDBROKER_CORE_BREAKER_H_
#define CREDBROKER_CORE_BREAKER_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "core/ids.h"

namespace credbroker::core {

// Kept with each credential, one per breaker it feeds. 8 bytes. Each field is a second, modulo
// 2^31, and the lowest bit of how often the breaker had forgotten its counts then.
struct BreakerMember {
  static constexpr uint32_t kNever = 0x80000000;
  uint32_t reported = kNever;  // its latest report of any kind
  uint32_t bad = kNever;       // its latest bad one
};

class Breaker {
 public:
  enum class State : uint8_t { kClosed, kOpen, kProbing };
  static constexpr absl::Duration kFirstOpen = absl::Seconds(10);
  static constexpr absl::Duration kMaxOpen = absl::Minutes(5);
  static constexpr int kMinCredentials = 3;
  static constexpr absl::Duration kProbeVerdict = absl::Seconds(60);

  // Counts a report. Returns true if this bad one opens the breaker now (from closed only).
  bool Report(BreakerMember& member, bool bad, absl::Time now);
  State StateAt(absl::Time now) const;  // kProbing: open time is over or a probe is out
  // Whether calls are let through: closed.
  bool closed() const { return !open_; }
  absl::Time probe_at() const { return until_; }  // when the next probe may go; REQUIRES: !closed()
  // Takes the one probe if its time has come and none of the last 60 s is out.
  bool TryProbe(LeaseSeq lease, absl::Time now) { return open_ && TakeProbe(lease, now); }
  bool CanProbe(absl::Time now) const { return open_ && now >= until_; }
  LeaseSeq probe() const { return probe_; }
  // The probe's verdict; others are ignored by the caller. Success closes and forgets the counts.
  void ProbeSucceeded(absl::Time now);
  void ProbeFailed(absl::Time now);        // opens again, twice as long
  void ProbeInconclusive(absl::Time now);  // the next probe may go after the same span again
  uint64_t times_opened() const { return opened_; }  // from closed
  int level() const;                                 // times it opened in a row; 0: closed

 private:
  static constexpr int kWindow = 10;
  using Cells = std::array<uint32_t, kWindow>;
  static size_t CellOf(int64_t second);
  bool TakeProbe(LeaseSeq lease, absl::Time now);
  void Roll(absl::Time now);
  uint32_t StampOf(int64_t second) const;
  int64_t AgeOf(uint32_t stamp) const;  // seconds
  bool Counted(uint32_t stamp) const;
  void Move(uint32_t& stamp, Cells& cells) const;

  Cells reported_{};  // distinct credentials by the second of their latest report
  Cells bad_{};
  int64_t second_ = INT64_MIN;  // the newest second counted
  // Changes when the counts are forgotten, so that stamps of before do not count. One bit is
  // enough: between two closings lie at least the ten seconds it was open, and no older stamp
  // counts.
  uint32_t generation_ = 0;
  bool open_ = false;
  absl::Time until_ = absl::InfinitePast();
  absl::Duration span_ = absl::ZeroDuration();
  LeaseSeq probe_ = kNoLease;
  uint64_t opened_ = 0;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_BREAKER_H_
