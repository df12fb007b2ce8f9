#include "server/config/problems.h"

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/config/config.h"

namespace credbroker::config {
namespace {

// More than this is counted but not kept: a hostile file must not make a message of its own size.
constexpr size_t kMaxKept = 1000;
constexpr size_t kMaxQuoted = 60;
constexpr size_t kMaxGuessed = 64;

// Case and separators do not count: maxParked is max_parked.
std::string Folded(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != '_' && c != '-') out += absl::ascii_tolower(static_cast<unsigned char>(c));
  }
  return out;
}

// Insertions, deletions, replacements and swaps of neighbours.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> before(b.size() + 1), row(b.size() + 1), next(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    next[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = row[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      next[j] = std::min({row[j] + 1, next[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        next[j] = std::min(next[j], before[j - 2] + 1);
      }
    }
    std::swap(before, row);
    std::swap(row, next);
  }
  return row[b.size()];
}

absl::string_view Parent(absl::string_view path) {
  const size_t end = path.find_last_of(".[");
  return end == absl::string_view::npos ? "" : path.substr(0, end);
}

}  // namespace

std::string Quoted(absl::string_view text) {
  const bool cut = text.size() > kMaxQuoted;
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, kMaxQuoted)), cut ? "..." : "", "\"");
}

std::string Nearest(absl::string_view text, const std::vector<std::string>& candidates) {
  if (text.size() > kMaxGuessed) return "";
  const std::string folded = Folded(text);
  std::string best;
  size_t least = std::max<size_t>(1, folded.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance(folded, Folded(candidate));
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

std::string Join(absl::string_view path, absl::string_view field) {
  return path.empty() ? std::string(field) : absl::StrCat(path, ".", field);
}

std::string Item(absl::string_view path, int index) { return absl::StrCat(path, "[", index, "]"); }

Position Problems::Find(absl::string_view path) const {
  for (; !path.empty(); path = Parent(path)) {
    if (const auto it = positions_.find(path); it != positions_.end()) return it->second;
  }
  return {};
}

std::string Problems::Line(Position at, absl::string_view path, absl::string_view what) const {
  return absl::StrCat(file_, ":", at.line, ":", at.column, ": ", path, path.empty() ? "" : ": ",
                      what);
}

void Problems::Add(absl::string_view path, absl::string_view what) {
  for (absl::string_view at = path; !at.empty(); at = Parent(at)) {
    if (bad_.contains(at)) return;
  }
  bad_.insert(std::string(path));
  AddAt(Find(path), path, what);
}

void Problems::AddAt(Position at, absl::string_view path, absl::string_view what) {
  if (problems_.size() < kMaxKept) problems_.push_back({at, Line(at, path, what)});
}

void Problems::Warn(absl::string_view path, absl::string_view what) {
  const Position at = Find(path);
  if (warnings_.size() < kMaxKept) warnings_.push_back({at, Line(at, path, what)});
}

bool Problems::Has(absl::string_view path) const {
  return std::any_of(bad_.begin(), bad_.end(), [path](absl::string_view bad) {
    return absl::StartsWith(bad, path) &&
           (bad.size() == path.size() || bad[path.size()] == '.' || bad[path.size()] == '[');
  });
}

absl::Status Problems::ToStatus() const {
  if (problems_.empty()) return absl::OkStatus();
  // Stable: problems of one place stay in the order they were found in.
  std::vector<std::tuple<int, int, size_t>> sorted;
  sorted.reserve(problems_.size());
  for (size_t i = 0; i < problems_.size(); ++i) {
    sorted.emplace_back(problems_[i].at.line, problems_[i].at.column, i);
  }
  std::sort(sorted.begin(), sorted.end());
  const size_t shown = std::min(sorted.size(), kMaxProblems);
  std::vector<std::string> lines;
  lines.reserve(shown + 1);
  for (size_t i = 0; i < shown; ++i) lines.push_back(problems_[std::get<2>(sorted[i])].text);
  if (shown < sorted.size()) {
    lines.push_back(absl::StrCat(file_, ": and ", sorted.size() - shown, " more"));
  }
  return absl::InvalidArgumentError(absl::StrJoin(lines, "\n"));
}

std::vector<std::string> Problems::Warnings() const {
  std::vector<std::string> out;
  out.reserve(warnings_.size());
  for (const Problem& warning : warnings_) out.push_back(warning.text);
  return out;
}

}  // namespace credbroker::config
