#include "server/rpc/page_token.h"

#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace credbroker::rpc {
namespace {

constexpr char kSeparator = '\x1f';
constexpr size_t kMaxTokenBytes = 2048;

// FNV-1a: the same in every process, so that a token outlives a restart.
uint64_t Fingerprint(absl::string_view text, uint64_t hash = 0xcbf29ce484222325u) {
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3u;
  }
  return hash;
}

std::string Seal(absl::string_view query, absl::string_view body) {
  return absl::StrCat(absl::Hex(Fingerprint(body, Fingerprint(query)), absl::kZeroPad16));
}

}  // namespace

std::string EncodePageToken(absl::string_view query, const std::vector<std::string>& parts) {
  const std::string body = absl::StrJoin(parts, absl::string_view(&kSeparator, 1));
  return absl::WebSafeBase64Escape(absl::StrCat(Seal(query, body), body));
}

std::optional<std::vector<std::string>> DecodePageToken(absl::string_view query,
                                                        absl::string_view token) {
  std::string text;
  if (token.size() > kMaxTokenBytes || !absl::WebSafeBase64Unescape(token, &text) ||
      text.size() < 16) {
    return std::nullopt;
  }
  const absl::string_view body = absl::string_view(text).substr(16);
  if (absl::string_view(text).substr(0, 16) != Seal(query, body)) return std::nullopt;
  return absl::StrSplit(body, kSeparator);
}

}  // namespace credbroker::rpc
