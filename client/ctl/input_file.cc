#include "client/ctl/input_file.h"

#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

std::string ReadUpTo(std::istream& in, size_t limit) {
  std::string bytes;
  char buffer[16 << 10];
  while (bytes.size() <= limit && in) {
    const size_t want = std::min(sizeof(buffer), limit + 1 - bytes.size());
    in.read(buffer, static_cast<std::streamsize>(want));
    bytes.append(buffer, static_cast<size_t>(in.gcount()));
  }
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> ReadInput(Context& context, const std::string& path, size_t limit) {
  if (path == "-") return ReadUpTo(context.in(), limit);
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::InvalidArgumentError(absl::StrCat("'", path, "' cannot be read"));
  std::string bytes = ReadUpTo(file, limit);
  if (file.bad()) return absl::InvalidArgumentError(absl::StrCat("'", path, "' cannot be read"));
  return bytes;
}

absl::StatusOr<std::string> ReadWhole(Context& context, const std::string& path, size_t limit) {
  auto bytes = ReadInput(context, path, limit);
  if (bytes.ok() && bytes->size() > limit) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "' is longer than ", Count(static_cast<int64_t>(limit)), " bytes"));
  }
  return bytes;
}

absl::StatusOr<std::string> TextOrFile(Context& context, const std::string& text, size_t limit) {
  if (!absl::StartsWith(text, "@")) return text;
  return ReadInput(context, text.substr(1), limit);
}

absl::StatusOr<std::string> ProxyAddress(Context& context, const std::string& text,
                                         absl::string_view flag) {
  if (absl::StartsWith(text, "@")) {
    auto bytes = ReadWhole(context, text.substr(1), 4 << 10);
    if (!bytes.ok()) return bytes;
    return std::string(absl::StripAsciiWhitespace(*bytes));
  }
  if (WithoutPassword(text) != text) {
    return absl::InvalidArgumentError(absl::StrCat(
        flag,
        ": a password on the command line is visible to others; put the address into a file "
        "and give @FILE, or @- for standard input"));
  }
  return text;
}

}  // namespace credbroker::ctl
