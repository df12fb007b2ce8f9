#include "server/rpc/convert_attributes.h"

#include <string>

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>

#include "gtest/gtest.h"

namespace credbroker::rpc {
namespace {

using google::protobuf::Struct;

class AttributesText : public testing::TestWithParam<const char*> {};

TEST_P(AttributesText, IsReadAsProtobufItselfReadsIt) {
  Struct expected, got;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(GetParam(), &expected).ok());
  EXPECT_TRUE(ParseAttributes(GetParam(), &got));
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(expected, got))
      << got.DebugString();
}

INSTANTIATE_TEST_SUITE_P(
    Objects, AttributesText,
    testing::Values("{}", R"({"project_id":"p-1","account_id":"a"})",
                    R"({"a":null,"b":true,"c":false,"d":-3,"e":18446744073709551615,"f":1.5e3})",
                    R"({"list":[1,"two",null,[],[[]],{"x":[{}]}],"after":"list"})",
                    R"({"nested":{"a":{"b":{"c":[true]}}},"z":"\u00e4\n\"quoted\""})"));

TEST(Attributes, ReplaceWhatWasThere) {
  Struct out;
  ASSERT_TRUE(ParseAttributes(R"({"a":1})", &out));
  ASSERT_TRUE(ParseAttributes(R"({"b":2})", &out));
  EXPECT_EQ(out.fields().size(), 1u);
  EXPECT_TRUE(out.fields().contains("b"));
}

TEST(Attributes, WhatIsNoObjectGivesNone) {
  const std::string deep = std::string(65, '[') + std::string(65, ']');
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("1"), std::string(R"({"a":1)"),
        std::string(R"({"a":1}x)"), std::string(R"({"a":tru})"), R"({"a":)" + deep + "}"}) {
    Struct out;
    (*out.mutable_fields())["old"].set_bool_value(true);
    EXPECT_FALSE(ParseAttributes(text, &out)) << text;
    EXPECT_TRUE(out.fields().empty()) << text;
  }
}

}  // namespace
}  // namespace credbroker::rpc
