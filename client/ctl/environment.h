// What credbrokerctl sees of the process around it; tests give it their own.
#ifndef CREDBROKER_CLIENT_CTL_ENVIRONMENT_H_
#define CREDBROKER_CLIENT_CTL_ENVIRONMENT_H_

#include <functional>
#include <istream>
#include <ostream>
#include <string>

#include "absl/time/time.h"

namespace credbroker::ctl {

// Not thread-safe; lives as long as RunCtl.
struct Environment {
  std::istream* in = nullptr;
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  // Columns of the terminal; 0: unknown.
  int terminal_width = 0;
  // Value of an environment variable, "" if it is not set.
  std::function<std::string(const std::string& name)> variable;
  std::function<absl::Time()> now;
};

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_ENVIRONMENT_H_
