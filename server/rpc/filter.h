// Filters and orders of lists: a subset of AIP-160 (https://google.aip.dev/160).
//
//   provider = claude AND priority >= 5 AND (email = "ops-*" OR labels.tier != "gold")
//
// Comparisons `field OP value` with OP one of = != < <= > >=, joined by AND, OR, NOT and
// parentheses. As AIP-160 has it, OR binds tighter than AND: `a AND b OR c` is `a AND (b OR c)`. A
// value is bare or in double quotes (\" and \\ inside); a final bare `*` in a value matches by
// prefix (= and != only). Times are RFC 3339. An absent label equals ""; an absent cap or time
// compares unequal to everything.
//
// Fields of the document: id, group, provider, kind, label, email, note, source, prefix, proxy_url,
// base_url, priority, weight, max_in_flight, max_in_flight_per_model, disable_cooling, labels.KEY,
// disabled, create_time. Derived: state, cause, auth_health, busy, half_open, in_flight,
// next_recover_time.
//
// Bounds: 4 KiB of text, 128 comparisons, 32 levels.
//
// Thread-safety: immutable, hence thread-safe. Matches does not allocate.
#ifndef CREDBROKER_SERVER_RPC_FILTER_H_
#define CREDBROKER_SERVER_RPC_FILTER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/view.h"

namespace credbroker::rpc {

inline constexpr size_t kMaxFilterBytes = 4096;

struct FilterNode;

class Filter {
 public:
  enum class Fields { kAll, kDocument };

  Filter() = default;  // matches everything
  // INVALID_ARGUMENT: "at 12, 'foo': what is wrong", the position counted in bytes from 1.
  static absl::StatusOr<Filter> Parse(absl::string_view text, Fields fields);

  bool Matches(const core::CredentialRow& row) const;
  // REQUIRES: parsed with Fields::kDocument; `disabled` is not a field then, since intent is apart.
  bool MatchesDocument(const core::Document& document) const;
  bool empty() const { return root_ == nullptr; }

 private:
  std::shared_ptr<const FilterNode> root_;
};

// What a list is sorted by; ties, and the default, by id.
struct Order {
  enum class Key : uint8_t { kId, kPriority, kCreateTime, kNextRecover, kInFlight };
  Key key = Key::kId;
  bool descending = false;
  // The row's key as a number that sorts like it; 0 for kId.
  int64_t KeyOf(const core::CredentialRow& row) const;
};

// One field of those above, with an optional " desc" or " asc", and optionally ", id" behind it.
// INVALID_ARGUMENT as Filter::Parse.
absl::StatusOr<Order> ParseOrder(absl::string_view text);

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_FILTER_H_
