#include "client/ctl/display.h"

#include <cstdint>

#include "absl/strings/str_format.h"

namespace credbroker::ctl {
namespace {

struct Rune {
  uint32_t code = 0;
  size_t bytes = 1;
  bool valid = false;
};

// RFC 3629: no overlong forms, no surrogates, at most U+10FFFF.
Rune Decode(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1, true};
  size_t length = 0;
  uint32_t code = 0;
  uint32_t least = 0;
  if ((first & 0xE0) == 0xC0) {
    length = 2, code = first & 0x1F, least = 0x80;
  } else if ((first & 0xF0) == 0xE0) {
    length = 3, code = first & 0x0F, least = 0x800;
  } else if ((first & 0xF8) == 0xF0) {
    length = 4, code = first & 0x07, least = 0x10000;
  } else {
    return {};
  }
  if (text.size() < length) return {};
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = (code << 6) | (byte(i) & 0x3F);
  }
  if (code < least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return {};
  return {code, length, true};
}

struct Range {
  uint32_t first;
  uint32_t last;
};

template <size_t N>
bool In(const Range (&ranges)[N], uint32_t code) {
  for (const Range& range : ranges) {
    if (code >= range.first && code <= range.last) return true;
  }
  return false;
}

constexpr Range kUnsafe[] = {{0x00, 0x1F},     {0x7F, 0x9F},     {0x061C, 0x061C},
                             {0x200B, 0x200F}, {0x2028, 0x202E}, {0x2060, 0x206F},
                             {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE0FFF}};

constexpr Range kZeroWidth[] = {
    {0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A}, {0x064B, 0x065F},
    {0x0E31, 0x0E31}, {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF},
    {0x20D0, 0x20FF}, {0x302A, 0x302D}, {0x3099, 0x309A}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}};

constexpr Range kWide[] = {{0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0x33FF},
                           {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},
                           {0xA960, 0xA97F},   {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},
                           {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},
                           {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF},
                           {0x1FA70, 0x1FAFF}, {0x20000, 0x3FFFD}};

int WidthOf(const Rune& rune) {
  if (!rune.valid) return 1;
  if (In(kZeroWidth, rune.code)) return 0;
  return In(kWide, rune.code) ? 2 : 1;
}

}  // namespace

std::string Printable(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Rune rune = Decode(text);
    if (!rune.valid) {
      absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned char>(text[0]));
    } else if (rune.code == '\n') {
      out += "\\n";
    } else if (rune.code == '\t') {
      out += "\\t";
    } else if (!In(kUnsafe, rune.code)) {
      out.append(text.data(), rune.bytes);
    } else if (rune.code < 0x100) {
      absl::StrAppendFormat(&out, "\\x%02x", rune.code);
    } else {
      absl::StrAppendFormat(&out, "\\u%04x", rune.code);
    }
    text.remove_prefix(rune.bytes);
  }
  return out;
}

int DisplayWidth(absl::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const Rune rune = Decode(text);
    width += WidthOf(rune);
    text.remove_prefix(rune.bytes);
  }
  return width;
}

std::string Clip(absl::string_view text, int width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  std::string out;
  int used = 0;
  while (!text.empty()) {
    const Rune rune = Decode(text);
    const int more = WidthOf(rune);
    if (used + more > width - 1) break;
    out.append(text.data(), rune.bytes);
    used += more;
    text.remove_prefix(rune.bytes);
  }
  return out + "…";
}

}  // namespace credbroker::ctl
