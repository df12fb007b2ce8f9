// MissedRevocations: what was revoked of credentials a client could not be told of: they are not
// known to it yet while grants of them are on their way, or it is not there.
//
// A grant is made under the pool's lock and put into a message later, and a parked call's may even
// be overtaken by one that was made after it. When the credential is made known, everything revoked
// in between is said with it, exactly as it was said to those who knew it. Bounded: beyond kMax
// only the highest number is kept, and whatever is made known then is revoked up to that one.
// Thread-compatible.
#ifndef CREDBROKER_SERVER_SESSION_MISSED_REVOCATIONS_H_
#define CREDBROKER_SERVER_SESSION_MISSED_REVOCATIONS_H_

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <vector>

#include "core/change.h"

namespace credbroker::session {

class MissedRevocations {
 public:
  static constexpr size_t kMax = 256;

  void Add(const core::Revoked& revoked) {
    for (core::Revoked& known : kept_) {
      if (known.uid != revoked.uid || known.model != revoked.model) continue;
      const core::LeaseSeq covers = std::max(known.covers, revoked.covers);
      known = revoked;
      known.covers = covers;
      return;
    }
    if (kept_.size() < kMax) {
      kept_.push_back(revoked);
    } else {
      lost_ = std::max(lost_, revoked.covers);
    }
  }
  void Append(MissedRevocations&& other) {
    for (const core::Revoked& revoked : other.kept_) Add(revoked);
    lost_ = std::max(lost_, other.lost_);
  }
  // Those that mean `uid`, whose own are forgotten here: it is being made known.
  std::vector<core::Revoked> Take(core::Uid uid) {
    std::vector<core::Revoked> taken;
    if (empty()) return taken;
    const auto first = std::partition(kept_.begin(), kept_.end(),
                                      [uid](const core::Revoked& r) { return r.uid != uid; });
    taken.assign(std::make_move_iterator(first), std::make_move_iterator(kept_.end()));
    kept_.erase(first, kept_.end());
    if (lost_ != core::kNoLease) {
      taken.push_back({.uid = uid, .model = "", .covers = lost_, .reason = kMayBe});
    }
    return taken;
  }
  bool empty() const { return kept_.empty() && lost_ == core::kNoLease; }
  // No grant is on its way any more.
  void Clear() {
    kept_.clear();
    lost_ = core::kNoLease;
  }

 private:
  // Stock is void, and calls under way go on: what it may be that was lost says no more.
  static constexpr core::RevokeReason kMayBe = core::RevokeReason::kChanged;
  std::vector<core::Revoked> kept_;
  core::LeaseSeq lost_ = core::kNoLease;
};

}  // namespace credbroker::session

#endif  // CREDBROKER_SERVER_SESSION_MISSED_REVOCATIONS_H_
