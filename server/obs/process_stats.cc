#include "server/obs/process_stats.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace credbroker::obs {
namespace {

double BootTimeSeconds() {
  std::ifstream file("/proc/stat");
  std::string line;
  while (std::getline(file, line)) {
    if (!absl::StartsWith(line, "btime ")) continue;
    double seconds = 0;
    return absl::SimpleAtod(absl::string_view(line).substr(6), &seconds) ? seconds : 0;
  }
  return 0;
}

double CountOpenFds() {
  std::error_code error;
  double count = 0;
  std::filesystem::directory_iterator it("/proc/self/fd", error);
  for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) ++count;
  // The iteration itself holds one descriptor.
  return count > 0 ? count - 1 : 0;
}

void ReadStat(ProcessStats& stats) {
  std::ifstream file("/proc/self/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  // The second field is the command in parentheses and may hold spaces and parentheses itself.
  const size_t end = text.rfind(") ");
  if (end == std::string::npos) return;
  const std::vector<std::string> fields =
      absl::StrSplit(absl::string_view(text).substr(end + 2), ' ');
  // proc(5): `fields[0]` is field 3, the state.
  const auto field = [&fields](size_t number) {
    double value = 0;
    if (number - 3 < fields.size() && absl::SimpleAtod(fields[number - 3], &value)) return value;
    return 0.0;
  };
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  stats.cpu_seconds = (field(14) + field(15)) / ticks;
  stats.threads = field(20);
  stats.virtual_bytes = field(23);
  stats.resident_bytes = field(24) * static_cast<double>(sysconf(_SC_PAGESIZE));
  static const double boot_time = BootTimeSeconds();
  stats.start_time_seconds = boot_time + field(22) / ticks;
}

}  // namespace

ProcessStats ReadProcessStats() {
  ProcessStats stats;
  ReadStat(stats);
  stats.open_fds = CountOpenFds();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    stats.max_fds = static_cast<double>(limit.rlim_cur);
  }
  return stats;
}

}  // namespace credbroker::obs
