// TargetTable: what a client declared to draw leases for, ready to be asked of the pool.
//
// Thread-compatible. Commands borrow from the table: a target that is redefined ends them.
#ifndef CREDBROKER_SERVER_SESSION_TARGET_TABLE_H_
#define CREDBROKER_SERVER_SESSION_TARGET_TABLE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "core/command.h"
#include "credbroker/v1/session.pb.h"

namespace credbroker::session {

// The part of a model's name that is the caller's, e.g. "(high)"; empty where there is none.
absl::string_view SuffixOf(absl::string_view model);

class TargetTable {
 public:
  // `principal` outlives the table.
  explicit TargetTable(absl::string_view principal) : principal_(principal) {}

  struct Target {
    v1::SessionTarget declared;
    std::vector<absl::string_view> providers;
    std::vector<std::pair<absl::string_view, absl::string_view>> labels;
    core::AcquireCommand stock;  // of the session that draws
    std::string suffix;          // of the model
  };

  // Of all of them, each as session.proto counts it.
  static constexpr size_t kMaxBytes = size_t{2} << 20;

  // False: there is no room for it, and nothing was changed. REQUIRES: it was checked.
  bool Define(const v1::SessionTarget& target, core::SessionId session);
  // Null: not declared.
  const Target* Find(uint32_t target) const;
  // A command for one call of a target, with what `request` says of its own. Borrows from both and
  // from `excluded`, the room its list of exclusions needs.
  static core::AcquireCommand CommandFor(const Target& target, const v1::AcquireRequest& request,
                                         std::vector<absl::string_view>& excluded);

 private:
  const absl::string_view principal_;
  absl::flat_hash_map<uint32_t, std::unique_ptr<Target>> targets_;
  size_t bytes_ = 0;  // of all that are declared
};

}  // namespace credbroker::session

#endif  // CREDBROKER_SERVER_SESSION_TARGET_TABLE_H_
