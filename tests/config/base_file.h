// The least configuration that loads, for tests to add to.
#ifndef CREDBROKER_TESTS_CONFIG_BASE_FILE_H_
#define CREDBROKER_TESTS_CONFIG_BASE_FILE_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace credbroker::config {

// Five lines: `more` begins in line 6.
inline std::string BaseFile(absl::string_view more) {
  return absl::StrCat(
      "listeners:\n"
      "  data:\n"
      "    - unix_socket: {path: /run/credbroker/broker.sock}\n"
      "store:\n"
      "  memory: {}\n",
      more);
}

}  // namespace credbroker::config

#endif  // CREDBROKER_TESTS_CONFIG_BASE_FILE_H_
