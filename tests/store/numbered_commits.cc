#include "tests/store/numbered_commits.h"

#include <random>
#include <set>

#include "absl/strings/str_cat.h"

namespace credbroker::store {

std::vector<Write> NumberedCommit(uint64_t seed, uint64_t n, size_t max_value) {
  std::mt19937_64 random(seed * 1'000'003 + n);
  std::vector<Write> writes = {{RowKind::kMeta, "counter", absl::StrCat(n), n}};
  std::set<std::string> used;
  const uint64_t count = random() % 30;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key = absl::StrCat("row", random() % 60);
    if (!used.insert(key).second) continue;
    Write write{RowKind::kDocument, key, std::nullopt, n};
    if (random() % 5 != 0) {
      // Starts with its own name and repeats one letter, so a swapped or mixed page shows.
      write.value = absl::StrCat(
          key, " of ", n, " ",
          std::string(random() % (max_value + 1), static_cast<char>('a' + (n + i) % 26)));
    }
    writes.push_back(std::move(write));
  }
  return writes;
}

absl::StatusOr<uint64_t> CommitsIn(Store& store, uint64_t seed, size_t max_value) {
  using Rows = std::map<std::pair<RowKind, std::string>, std::pair<uint64_t, std::string>>;
  Rows found;
  absl::StatusOr<LoadReport> report = store.Load([&found](Row row) {
    found[{row.kind, row.key}] = {row.version, row.value};
    return absl::OkStatus();
  });
  if (!report.ok()) return report.status();
  if (report->damaged != 0 || !report->damage.empty()) {
    return absl::DataLossError(absl::StrCat("the file is damaged: ", report->damage.front()));
  }
  const auto counter = found.find({RowKind::kMeta, "counter"});
  const uint64_t commits = counter == found.end() ? 0 : counter->second.first;
  Rows expected;
  for (uint64_t n = 1; n <= commits; ++n) {
    for (Write& write : NumberedCommit(seed, n, max_value)) {
      if (write.value.has_value()) {
        expected[{write.kind, write.key}] = {write.version, *std::move(write.value)};
      } else {
        expected.erase({write.kind, write.key});
      }
    }
  }
  if (found != expected) {
    return absl::DataLossError(absl::StrCat("not the state after ", commits, " commits"));
  }
  return commits;
}

}  // namespace credbroker::store
