// credbroker: the server program. Signals are waited for here and nowhere else: SIGTERM and SIGINT
// stop, SIGHUP reloads the configuration.
//
// Exit codes: 0 stopped as asked; 1 could not start, or was still stopping when time was up; 2
// wrong command line or configuration; 70 the watchdog found it dead.
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>

#include "absl/time/clock.h"
#include "server/config/config.h"
#include "server/obs/log.h"
#include "server/server.h"
#include "server/store/keyring.h"

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr rlim_t kWantedFiles = 65536;

// The memory holds secrets: no core file, no ptrace by others of the same user.
void HardenProcess() {
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = std::min(files.rlim_max, std::max(files.rlim_cur, kWantedFiles));
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
}

int Fail(int code, const absl::Status& status) {
  std::fprintf(stderr, "credbroker: %s\n", std::string(status.message()).c_str());
  return code;
}

// Before any thread exists, so that all inherit the mask and only sigwait sees these.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return signals;
}

int Run(const std::string& path, std::shared_ptr<const credbroker::config::Loaded> config) {
  const sigset_t signals = BlockSignals();
  auto server = credbroker::Server::Start(path, std::move(config));
  if (!server.ok()) return Fail(kExitFailed, server.status());
  while (true) {
    int signal = 0;
    if (::sigwait(&signals, &signal) != 0) continue;
    if (signal != SIGHUP) break;
    // What is wrong with it is in the log.
    (*server)->Reload().IgnoreError();
  }
  // A stop that hangs is worse than one that is cut: whoever supervises us waits for the exit.
  std::thread([limit = (*server)->LongestStop()] {
    absl::SleepFor(limit);
    credbroker::obs::LogError("server", "still stopping when time was up; ending the process");
    credbroker::obs::FlushLog();
    ::_exit(kExitFailed);
  }).detach();
  (*server)->Stop();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  HardenProcess();
  // Loops, committer and ticker share what they allocate: more arenas would only keep more free
  // pages.
  ::mallopt(M_ARENA_MAX, 2);
  CLI::App app{"credbroker: leases credentials to upstream-calling proxies", "credbroker"};
  std::string config_path, keyring_path;
  bool check = false;
  app.add_option("--config", config_path, "Configuration file (YAML)");
  app.add_flag("--check-config", check, "Check the configuration, print its problems, and exit");
  app.add_option("--init-keyring", keyring_path, "Make a keyring file with fresh keys, and exit");
  app.set_version_flag("--version", std::string("credbroker ") + CREDBROKER_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kExitUsage;
  }
  if (!keyring_path.empty()) {
    const absl::Status status = credbroker::store::InitKeyring(keyring_path);
    return status.ok() ? 0 : Fail(kExitFailed, status);
  }
  if (config_path.empty()) {
    return Fail(kExitUsage, absl::InvalidArgumentError("--config FILE is required; see --help"));
  }
  auto config = credbroker::config::LoadFile(config_path);
  if (!config.ok()) return Fail(kExitUsage, config.status());
  for (const std::string& warning : (*config)->warnings) {
    std::fprintf(stderr, "credbroker: warning: %s\n", warning.c_str());
  }
  if (check) {
    std::printf("%s: the configuration is valid\n", config_path.c_str());
    return 0;
  }
  return Run(config_path, *std::move(config));
}
