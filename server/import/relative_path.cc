// The rule for paths of files below a source's root (importer.h).
#include "absl/strings/str_split.h"
#include "server/import/field_values.h"
#include "server/import/import_types.h"
#include "server/import/importer.h"

namespace credbroker::import {
namespace {

// Well-formed by RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF.
bool IsUtf8(absl::string_view text) {
  size_t i = 0;
  auto byte = [&](size_t at) {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u;
  };
  while (i < text.size()) {
    const unsigned lead = byte(i);
    const int more = lead < 0x80   ? 0
                     : lead < 0xC2 ? -1
                     : lead < 0xE0 ? 1
                     : lead < 0xF0 ? 2
                     : lead < 0xF5 ? 3
                                   : -1;
    if (more < 0) return false;
    for (int k = 1; k <= more; ++k) {
      if ((byte(i + static_cast<size_t>(k)) & 0xC0) != 0x80) return false;
    }
    const unsigned second = byte(i + 1);
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
        (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) {
      return false;
    }
    i += static_cast<size_t>(more) + 1;
  }
  return true;
}

}  // namespace

absl::Status CheckRelativePath(absl::string_view path) {
  auto bad = [](absl::string_view why) { return absl::InvalidArgumentError(why); };
  if (path.empty() || path.size() > kMaxRelativePathBytes) {
    return bad("relative_path: must have 1 to 240 bytes");
  }
  if (!IsUtf8(path) || HasControlCharacters(path)) {
    return bad("relative_path: must be UTF-8 without control characters");
  }
  if (path.find('\\') != absl::string_view::npos) {
    return bad("relative_path: must use \"/\", not \"\\\"");
  }
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty()) return bad("relative_path: must be relative and without \"//\"");
    if (part[0] == '.') return bad("relative_path: no part may begin with a dot");
  }
  return absl::OkStatus();
}

}  // namespace credbroker::import
