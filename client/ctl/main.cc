// credbrokerctl: the process around client/ctl/command_line.h.
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "client/ctl/command_line.h"

int main(int argc, char** argv) {
  // gRPC's own log would double our error messages.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  std::ios::sync_with_stdio(false);

  credbroker::ctl::Environment env;
  env.in = &std::cin;
  env.out = &std::cout;
  env.err = &std::cerr;
  env.out_is_terminal = isatty(STDOUT_FILENO) == 1;
  env.err_is_terminal = isatty(STDERR_FILENO) == 1;
  winsize size{};
  if (env.out_is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
    env.terminal_width = size.ws_col;
  }
  env.variable = [](const std::string& name) {
    const char* value = std::getenv(name.c_str());
    return std::string(value == nullptr ? "" : value);
  };
  env.now = [] { return absl::Now(); };
  return static_cast<int>(
      credbroker::ctl::RunCtl(std::vector<std::string>(argv + 1, argv + argc), env));
}
