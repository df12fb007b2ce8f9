// JSON as credential files may have it: bounded in depth, no key twice in an object, well-formed
// UTF-8, no number that a double cannot hold. A byte order mark in front is accepted.
//
// Pure functions; thread-safe.
#ifndef CREDBROKER_SERVER_IMPORT_STRICT_JSON_H_
#define CREDBROKER_SERVER_IMPORT_STRICT_JSON_H_

#include <string>

#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace credbroker::import {

using Json = nlohmann::json;

struct JsonResult {
  Json value;
  std::string error;     // empty: `value` is good. Names the byte, never shows the text around it
  bool cut_off = false;  // the text ends too early: perhaps somebody is still writing it
};

JsonResult ParseStrictJson(absl::string_view text, int max_depth);

// Overwrites every string inside, then makes it null.
void WipeJson(Json& value);

// One line; ill-formed strings (which ParseStrictJson never returns) are replaced, nothing throws.
std::string DumpJson(const Json& value);

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_STRICT_JSON_H_
