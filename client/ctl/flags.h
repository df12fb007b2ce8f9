// The flags of a command as data: parsing, help and completion all read the same list.
//
// A flag's parser answers INVALID_ARGUMENT with what is wrong with the value; the caller puts the
// flag's name before it. Not thread-safe.
#ifndef CREDBROKER_CLIENT_CTL_FLAGS_H_
#define CREDBROKER_CLIENT_CTL_FLAGS_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/generated_enum_reflection.h>
#include <google/protobuf/map.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "credbroker/v1/types.pb.h"

namespace credbroker::ctl {

// A time as people give it: a span from now ("30m") or RFC 3339.
struct Moment {
  std::optional<absl::Duration> span;
  absl::Time time;
  absl::Time At(absl::Time now) const { return span.has_value() ? now + *span : time; }
};

// "30s", "1h30m", "500ms", "7d", "1d12h"; finite and not negative.
absl::StatusOr<absl::Duration> ParseSpan(absl::string_view text);
absl::StatusOr<Moment> ParseMoment(absl::string_view text);
// "name: value"; the name lower-cased.
absl::StatusOr<v1::Header> ParseHeader(absl::string_view text);
// "key=value".
absl::StatusOr<std::pair<std::string, std::string>> ParsePair(absl::string_view text);

struct Flag {
  // "--status"; a positional has no dashes, e.g. "ID".
  std::string name;
  // "-o" or empty.
  std::string short_name;
  // Shown for the value; empty: a switch.
  std::string value;
  std::string help;
  // For help and completion; the parser enforces them.
  std::vector<std::string> choices;
  bool required = false;
  bool repeated = false;
  // Completion offers file names.
  bool file = false;
  // Takes each value given (switches: "").
  std::function<absl::Status(const std::string& value)> set;

  bool positional() const { return name[0] != '-'; }
  Flag& Required() {
    required = true;
    return *this;
  }
  Flag& File() {
    file = true;
    return *this;
  }
};

// Targets must outlive the set. Returned references stay valid.
class FlagSet {
 public:
  Flag& Switch(std::string name, bool* out, std::string help);
  Flag& Text(std::string name, std::string value, std::string* out, std::string help);
  Flag& OptionalText(std::string name, std::string value, std::optional<std::string>* out,
                     std::string help);
  Flag& Texts(std::string name, std::string value, std::vector<std::string>* out, std::string help);
  Flag& Number(std::string name, std::optional<int64_t>* out, int64_t least, int64_t most,
               std::string help);
  Flag& Span(std::string name, std::optional<absl::Duration>* out, std::string help);
  Flag& When(std::string name, std::optional<Moment>* out, std::string help);
  Flag& Headers(std::string name, std::vector<v1::Header>* out, std::string help);
  Flag& Pairs(std::string name, google::protobuf::Map<std::string, std::string>* out,
              std::string help);
  // One of `words`; `chosen` gets its position.
  Flag& Choice(std::string name, std::string value, std::vector<std::string> words,
               std::function<void(size_t)> chosen, std::string help);
  // The values of an enum but UNSPECIFIED, as words ("rate_limited"; "-" for "_" is accepted).
  template <typename Enum>
  Flag& EnumChoice(std::string name, std::string value, Enum* out, std::string help) {
    return EnumWords(
        std::move(name), std::move(value), google::protobuf::GetEnumDescriptor<Enum>(),
        [out](int number) { *out = static_cast<Enum>(number); }, std::move(help));
  }
  Flag& EnumWords(std::string name, std::string value, const google::protobuf::EnumDescriptor* type,
                  std::function<void(int)> chosen, std::string help);

  const std::deque<Flag>& flags() const { return flags_; }

 private:
  Flag& Add(Flag flag);
  std::deque<Flag> flags_;
};

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_FLAGS_H_
