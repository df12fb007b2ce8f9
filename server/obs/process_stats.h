// ReadProcessStats: what /proc says about this process, for the process_* metrics.
//
// Thread-safety: reads files only. A file that cannot be read leaves its numbers at 0.
#ifndef CREDBROKER_SERVER_OBS_PROCESS_STATS_H_
#define CREDBROKER_SERVER_OBS_PROCESS_STATS_H_

namespace credbroker::obs {

struct ProcessStats {
  double cpu_seconds = 0;
  double resident_bytes = 0;
  double virtual_bytes = 0;
  double open_fds = 0;
  double max_fds = 0;  // The soft limit; 0 when unlimited.
  double threads = 0;
  double start_time_seconds = 0;  // Unix time.
};

ProcessStats ReadProcessStats();

}  // namespace credbroker::obs

#endif  // CREDBROKER_SERVER_OBS_PROCESS_STATS_H_
