// credbroker-sidecar: the program. Signals are waited for here and nowhere else: SIGTERM and SIGINT
// stop it; a change of the configuration needs a restart.
//
// Exit codes: 0 stopped as asked; 1 could not start, or was still stopping when time was up; 2
// wrong command line or configuration.
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
#include "client/sidecar/settings.h"
#include "client/sidecar/sidecar.h"
#include "server/obs/log.h"

namespace {

namespace sidecar = credbroker::sidecar;

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr rlim_t kWantedFiles = 16384;

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
  std::fprintf(stderr, "credbroker-sidecar: %s\n", std::string(status.message()).c_str());
  return code;
}

// Before any thread exists, so that all inherit the mask and only sigwait sees these.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT}) sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  return signals;
}

int Run(sidecar::pb::Config config) {
  const sigset_t signals = BlockSignals();
  if (const auto level = credbroker::obs::ParseLogLevel(config.log_level()); level.ok()) {
    credbroker::obs::SetLogLevel(*level);
  }
  credbroker::obs::BridgeGrpcLog();
  auto running = sidecar::Sidecar::Start(std::move(config));
  if (!running.ok()) return Fail(kExitFailed, running.status());
  int signal = 0;
  while (::sigwait(&signals, &signal) != 0) {
  }
  // A stop that hangs is worse than one that is cut: whoever supervises us waits for the exit.
  std::thread([limit = (*running)->LongestStop()] {
    absl::SleepFor(limit);
    credbroker::obs::LogError("sidecar", "still stopping when time was up; ending the process");
    credbroker::obs::FlushLog();
    ::_exit(kExitFailed);
  }).detach();
  (*running)->Stop();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  HardenProcess();
  ::mallopt(M_ARENA_MAX, 2);
  CLI::App app{"credbroker-sidecar: hands a broker's leases to the proxies of one pod",
               "credbroker-sidecar"};
  std::string path;
  sidecar::SimpleSettings simple;
  bool check = false;
  CLI::Option* file = app.add_option("--config", path, "Configuration file (YAML)");
  app.add_flag("--check-config", check, "Check the configuration, print its problems, and exit");
  app.add_option("--broker", simple.broker, "The broker, e.g. unix:/run/credbroker/broker.sock")
      ->excludes(file);
  app.add_option("--listen", simple.listen, "Serve gRPC here: unix:/path or 127.0.0.1:PORT")
      ->excludes(file);
  app.add_option("--http", simple.http, "Serve HTTP here: 127.0.0.1:PORT or unix:/path")
      ->excludes(file);
  app.set_version_flag("--version", std::string("credbroker-sidecar ") + CREDBROKER_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kExitUsage;
  }
  if (path.empty() && simple.broker.empty()) {
    return Fail(kExitUsage, absl::InvalidArgumentError(
                                "--config FILE or --broker ADDRESS is required; see --help"));
  }
  auto config = path.empty() ? sidecar::MakeSettings(simple) : sidecar::LoadSettingsFile(path);
  if (!config.ok()) return Fail(kExitUsage, config.status());
  if (check) {
    std::printf("%s: the configuration is valid\n", path.empty() ? "command line" : path.c_str());
    return 0;
  }
  return Run(*std::move(config));
}
