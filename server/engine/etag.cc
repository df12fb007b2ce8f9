#include "server/engine/etag.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace credbroker::engine {

std::string EtagText(const Etag& etag) {
  return absl::StrCat(absl::Hex(etag.uid.number()), ".", absl::Hex(etag.revision));
}

std::optional<Etag> ParseEtag(absl::string_view text) {
  const size_t dot = text.find('.');
  if (dot == absl::string_view::npos) return std::nullopt;
  uint64_t uid = 0, revision = 0;
  if (!absl::SimpleHexAtoi(text.substr(0, dot), &uid)) return std::nullopt;
  if (!absl::SimpleHexAtoi(text.substr(dot + 1), &revision)) return std::nullopt;
  const Etag etag{.uid = core::Uid(uid), .revision = revision};
  if (EtagText(etag) != text) return std::nullopt;  // spaces, signs, 0x, upper case, leading zeros
  return etag;
}

}  // namespace credbroker::engine
