#include "server/obs/json_line.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_format.h"

namespace credbroker::obs {
namespace {

constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr absl::string_view kEllipsis = "\xE2\x80\xA6";     // U+2026

unsigned Byte(absl::string_view text, size_t at) { return static_cast<unsigned char>(text[at]); }

// Length of the well-formed sequence at `at` (Unicode table 3-7), 0 if it is ill-formed or cut.
size_t SequenceLength(absl::string_view text, size_t at) {
  const unsigned lead = Byte(text, at);
  if (lead < 0x80) return 1;
  size_t length = 0;
  unsigned low = 0x80;
  unsigned high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;   // Else overlong.
    if (lead == 0xED) high = 0x9F;  // Else a surrogate.
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;  // Else above U+10FFFF.
  } else {
    return 0;
  }
  if (at + length > text.size()) return 0;
  if (Byte(text, at + 1) < low || Byte(text, at + 1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((Byte(text, at + i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

void AppendAscii(char c, std::string& out) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  const auto byte = static_cast<unsigned char>(c);
  if (byte < 0x20 || byte == 0x7F) {
    absl::StrAppendFormat(&out, "\\u%04x", byte);
  } else {
    out += c;
  }
}

}  // namespace

void AppendJsonString(absl::string_view text, size_t max_bytes, std::string& out) {
  out += '"';
  for (size_t i = 0; i < text.size();) {
    const size_t length = SequenceLength(text, i);
    if (i + (length == 0 ? 1 : length) > max_bytes) {
      out.append(kEllipsis.data(), kEllipsis.size());
      break;
    }
    const absl::string_view sequence = text.substr(i, length);
    if (length == 0) {
      out.append(kReplacement.data(), kReplacement.size());
    } else if (length == 1) {
      AppendAscii(text[i], out);
    } else if (sequence == "\xE2\x80\xA8") {
      out += "\\u2028";
    } else if (sequence == "\xE2\x80\xA9") {
      out += "\\u2029";
    } else {
      out.append(sequence.data(), sequence.size());
    }
    i += length == 0 ? 1 : length;
  }
  out += '"';
}

void JsonLine::AddKey(absl::string_view key) {
  if (out_.size() > 1) out_ += ',';
  AppendJsonString(key, max_value_bytes_, out_);
  out_ += ':';
}

void JsonLine::AddString(absl::string_view key, absl::string_view value) {
  AddKey(key);
  AppendJsonString(value, max_value_bytes_, out_);
}

void JsonLine::AddLiteral(absl::string_view key, absl::string_view literal) {
  AddKey(key);
  out_.append(literal.data(), literal.size());
}

void JsonLine::AddDouble(absl::string_view key, double value) {
  AddLiteral(key, std::isfinite(value) ? absl::StrFormat("%.9g", value) : "null");
}

std::string JsonLine::Finish() && {
  out_ += '}';
  return std::move(out_);
}

}  // namespace credbroker::obs
