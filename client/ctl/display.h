// Text on a terminal: what is safe to print, and how many columns it takes.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_CTL_DISPLAY_H_
#define CREDBROKER_CLIENT_CTL_DISPLAY_H_

#include <string>

#include "absl/strings/string_view.h"

namespace credbroker::ctl {

// Escapes what could drive or deceive a terminal: control characters (C0, DEL, C1), line and
// paragraph separators, bidirectional overrides, zero-width characters, and bytes that are not
// UTF-8. "\x1b[31m" becomes "\\x1b[31m", U+202E becomes "\\u202e". Idempotent.
std::string Printable(absl::string_view text);

// Columns of printable UTF-8: 2 for East Asian wide and emoji, 0 for combining marks, else 1
// (Unicode TR11, the ranges in use; not the locale's).
int DisplayWidth(absl::string_view text);

// At most `width` columns; what was cut ends in "…". REQUIRES: width >= 1.
std::string Clip(absl::string_view text, int width);

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_DISPLAY_H_
