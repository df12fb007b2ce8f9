// The table of ranges and defaults says what the comments of the schema say.
#include "server/config/ranges.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "server/config/config.h"
#include "tests/config/base_file.h"

namespace credbroker::config {
namespace {

// "Limits.max_parked" -> its comment.
std::map<std::string, std::string> Comments() {
  std::map<std::string, std::string> out;
  for (const char* const name : {"config", "provider"}) {
    std::ifstream file(
        absl::StrCat(CREDBROKER_TESTS_DIR, "/../proto/credbroker/config/v1/", name, ".proto"));
    std::string line, message, comment;
    const std::regex begin("message (\\w+) \\{.*"), field("[\\w. <>,]+? (\\w+) = \\d+;.*");
    while (std::getline(file, line)) {
      const std::string text(absl::StripAsciiWhitespace(line));
      std::smatch match;
      if (absl::StartsWith(text, "//")) {
        absl::StrAppend(&comment, text.substr(2));
        continue;
      }
      if (std::regex_match(text, match, begin)) message = match[1];
      if (std::regex_match(text, match, field)) {
        out[absl::StrCat(message, ".", match[1].str())] = comment;
      }
      comment.clear();
    }
  }
  return out;
}

// Every quantity in a comment: times in milliseconds, sizes in bytes.
std::set<double> Quantities(const std::string& comment) {
  const std::map<std::string, double> units = {
      {"", 1},     {"ms", 1},    {"s", 1e3},    {"min", 6e4},     {"m", 6e4},
      {"h", 36e5}, {"d", 864e5}, {"KiB", 1024}, {"MiB", 1 << 20}, {"cores", 1}};
  const std::regex quantity("([0-9][0-9,]*) ?(ms|s|min|m|h|d|KiB|MiB)?(?![a-z0-9])");
  std::set<double> out;
  for (std::sregex_iterator it(comment.begin(), comment.end(), quantity), end; it != end; ++it) {
    const std::string digits = absl::StrReplaceAll((*it)[1].str(), {{",", ""}});
    out.insert(std::stod(digits) * units.at((*it)[2].str()));
  }
  return out;
}

TEST(Ranges, AreThoseOfTheSchemasComments) {
  const auto comments = Comments();
  ASSERT_GT(comments.size(), 80u);
  for (const NumberRange& range : NumberRanges()) {
    const std::string field(range.field);
    SCOPED_TRACE(field);
    ASSERT_TRUE(comments.contains(field));
    // "The same per model." repeats the comment before it.
    if (absl::StrContains(comments.at(field), "The same per model")) continue;
    const std::set<double> said = Quantities(comments.at(field));
    // Bounded by another field.
    const bool open = field == "Limits.max_parked_per_principal" ||
                      field == "Sessions.max_sessions_per_principal";
    EXPECT_TRUE(open || said.contains(range.max));
    EXPECT_TRUE(range.min <= 1 || said.contains(range.min));
    EXPECT_TRUE(said.contains(range.fallback)) << range.fallback;
  }
  for (const DurationRange& range : DurationRanges()) {
    const std::string field(range.field);
    SCOPED_TRACE(field);
    ASSERT_TRUE(comments.contains(field));
    const std::set<double> said = Quantities(comments.at(field));
    const auto says = [&](absl::Duration d) {
      return d == absl::ZeroDuration() || said.contains(absl::ToDoubleMilliseconds(d));
    };
    // Bounded by another field, or not at all but by what a record can hold.
    const bool open = field == "Limits.default_ttl" || field == "PolicyRow.hint_floor" ||
                      field == "Sessions.ping_interval";
    EXPECT_TRUE(open || says(range.max));
    EXPECT_TRUE(field == "Ladder.max" || says(range.min));
    EXPECT_TRUE(!range.fallback.has_value() || says(*range.fallback));
  }
}

TEST(Ranges, CoverEveryNumberAndDurationOfTheSchema) {
  std::set<std::string> known;
  for (const NumberRange& range : NumberRanges()) known.insert(std::string(range.field));
  for (const DurationRange& range : DurationRanges()) known.insert(std::string(range.field));
  known.insert("UnixListener.admitted_uids");  // any uid
  const google::protobuf::FileDescriptor* file = v1::Config::descriptor()->file();
  std::vector<const google::protobuf::FileDescriptor*> files = {file};
  for (int i = 0; i < file->dependency_count(); ++i) files.push_back(file->dependency(i));
  size_t seen = 0;
  for (const auto* f : files) {
    if (f->package() != file->package()) continue;
    for (int m = 0; m < f->message_type_count(); ++m) {
      for (int i = 0; i < f->message_type(m)->field_count(); ++i) {
        const auto* field = f->message_type(m)->field(i);
        const bool number = field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_UINT32;
        const bool duration =
            field->message_type() != nullptr && field->message_type()->name() == "Duration";
        if (!number && !duration) continue;
        ++seen;
        EXPECT_TRUE(known.contains(absl::StrCat(f->message_type(m)->name(), ".", field->name())))
            << field->full_name();
      }
    }
  }
  EXPECT_EQ(seen, known.size());
}

TEST(Ranges, TakeTheirEndsAndRefuseWhatIsBeyond) {
  for (const NumberRange& range : NumberRanges()) {
    const std::vector<std::string> parts = absl::StrSplit(std::string(range.field), '.');
    if (parts[0] != "Limits") continue;
    const std::string key = absl::StrCat("limits: {max_parked: 1000000, ", parts[1], ": ");
    if (parts[1] == "max_parked") continue;
    EXPECT_TRUE(LoadText("a", BaseFile(absl::StrCat(key, range.min, "}\n"))).ok()) << range.field;
    EXPECT_TRUE(LoadText("a", BaseFile(absl::StrCat(key, range.max, "}\n"))).ok()) << range.field;
    EXPECT_FALSE(LoadText("a", BaseFile(absl::StrCat(key, range.max + 1, "}\n"))).ok());
    if (range.min > 1) {
      EXPECT_FALSE(LoadText("a", BaseFile(absl::StrCat(key, range.min - 1, "}\n"))).ok());
    }
  }
}

}  // namespace
}  // namespace credbroker::config
