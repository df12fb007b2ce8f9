// What is wrong with a configuration file, and where. Thread-compatible.
#ifndef CREDBROKER_SERVER_CONFIG_PROBLEMS_H_
#define CREDBROKER_SERVER_CONFIG_PROBLEMS_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace credbroker::config {

// Both count from 1; a column counts bytes.
struct Position {
  int line = 1;
  int column = 1;
};

// `text` in quotes, short enough for a message and without anything a terminal would obey.
std::string Quoted(absl::string_view text);

// Of `candidates` the one that `text` is most likely a misspelling of; empty: none is near.
std::string Nearest(absl::string_view text, const std::vector<std::string>& candidates);

class Problems {
 public:
  // `file` is what messages call the file.
  explicit Problems(absl::string_view file) : file_(file) {}

  // Where the field `path` ("limits.max_parked", "groups[2].name") stands.
  void Locate(absl::string_view path, Position at) { positions_.try_emplace(path, at); }

  // A problem of `path`; if that is not in the file, its nearest parent shows where. Only the first
  // one counts of a field and what is in it: the others are mostly its consequences.
  void Add(absl::string_view path, absl::string_view what);
  void AddAt(Position at, absl::string_view path, absl::string_view what);
  void Warn(absl::string_view path, absl::string_view what);

  // Whether `path` or something in it has a problem.
  bool Has(absl::string_view path) const;
  bool empty() const { return problems_.empty(); }
  // OK if there are none; else INVALID_ARGUMENT, one line each in the order of the file.
  absl::Status ToStatus() const;
  std::vector<std::string> Warnings() const;

 private:
  struct Problem {
    Position at;
    std::string text;
  };
  Position Find(absl::string_view path) const;
  std::string Line(Position at, absl::string_view path, absl::string_view what) const;

  std::string file_;
  absl::flat_hash_map<std::string, Position> positions_;
  absl::flat_hash_set<std::string> bad_;  // fields with a problem
  std::vector<Problem> problems_;
  std::vector<Problem> warnings_;
};

// "a.b", or "b" under the root.
std::string Join(absl::string_view path, absl::string_view field);
// "a[3]".
std::string Item(absl::string_view path, int index);

}  // namespace credbroker::config

#endif  // CREDBROKER_SERVER_CONFIG_PROBLEMS_H_
