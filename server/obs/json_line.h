// JsonLine: builds one JSON object of a log line or an HTTP body.
//
// The output is always valid JSON in valid UTF-8, whatever bytes come in (RFC 8259); control
// characters, DEL, U+2028 and U+2029 are escaped so that a viewer sees exactly one line.
//
// Thread-safety: not safe; one object a line.
#ifndef CREDBROKER_SERVER_OBS_JSON_LINE_H_
#define CREDBROKER_SERVER_OBS_JSON_LINE_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace credbroker::obs {

// Appends `text` to `out` in quotes. At most `max_bytes` of the input are used; a cut is marked by
// an ellipsis and never splits a character.
void AppendJsonString(absl::string_view text, size_t max_bytes, std::string& out);

class JsonLine {
 public:
  explicit JsonLine(size_t max_value_bytes) : max_value_bytes_(max_value_bytes) {}

  void AddString(absl::string_view key, absl::string_view value);
  // `literal` is JSON already: a number, true, an array.
  void AddLiteral(absl::string_view key, absl::string_view literal);
  // A NaN or an infinity, for which JSON has no number, becomes null.
  void AddDouble(absl::string_view key, double value);

  // The object; the line is done.
  std::string Finish() &&;

 private:
  void AddKey(absl::string_view key);

  const size_t max_value_bytes_;
  std::string out_ = "{";
};

}  // namespace credbroker::obs

#endif  // CREDBROKER_SERVER_OBS_JSON_LINE_H_
