#include "client/sidecar/http_field.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace credbroker::sidecar {
namespace {

constexpr size_t kMaxName = 256;
constexpr size_t kMaxValue = 8000;

constexpr absl::string_view kReserved[] = {
    "connection", "content-length", "content-type",       "date",    "host",
    "keep-alive", "location",       "proxy-authenticate", "trailer", "proxy-connection",
    "server",     "set-cookie",     "transfer-encoding",  "te",      "upgrade",
    "retry-after"};

bool IsTokenByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         absl::string_view("!#$%&'*+-.^_`|~").find(c) != absl::string_view::npos;
}

// Bytes of the character at the front; 0: invalid.
size_t Utf8Length(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Overlong forms, surrogates and what is beyond U+10FFFF.
  if (lead == 0xE0 && byte(1) < 0xA0) return 0;
  if (lead == 0xED && byte(1) >= 0xA0) return 0;
  if (lead == 0xF0 && byte(1) < 0x90) return 0;
  if (lead == 0xF4 && byte(1) >= 0x90) return 0;
  return length;
}

}  // namespace

bool IsFieldName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxName &&
         std::all_of(name.begin(), name.end(), &IsTokenByte);
}

bool IsFieldValue(absl::string_view value) {
  if (value.size() > kMaxValue) return false;
  if (!value.empty() && (value.front() == ' ' || value.back() == ' ')) return false;
  return std::all_of(value.begin(), value.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte != 0x7f;
  });
}

bool IsReservedName(absl::string_view name) {
  if (absl::StartsWithIgnoreCase(name, "x-credbroker-")) return true;
  return std::any_of(std::begin(kReserved), std::end(kReserved), [name](absl::string_view other) {
    return absl::EqualsIgnoreCase(name, other);
  });
}

bool IsCleanUtf8(absl::string_view text) {
  while (!text.empty()) {
    const auto lead = static_cast<uint8_t>(text[0]);
    if (lead < 0x20 || lead == 0x7f) return false;
    const size_t length = Utf8Length(text);
    if (length == 0) return false;
    // C1 controls.
    if (lead == 0xC2 && static_cast<uint8_t>(text[1]) < 0xA0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool IsCleanText(absl::string_view text, size_t max_bytes) {
  return text.size() <= max_bytes && IsCleanUtf8(text);
}

}  // namespace credbroker::sidecar
