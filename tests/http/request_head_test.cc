#include "server/http/request_head.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace credbroker::http {
namespace {

std::variant<RequestHead, Refusal> Parse(absl::string_view text) {
  return ParseRequestHead(text, HeadLimits());
}

int StatusOfParse(absl::string_view text) {
  const auto parsed = Parse(text);
  const auto* refusal = std::get_if<Refusal>(&parsed);
  return refusal == nullptr ? 200 : refusal->status;
}

struct Case {
  const char* what;
  std::string head;
  int status;
};

class HeadTable : public testing::TestWithParam<Case> {};

TEST_P(HeadTable, IsTakenOrRefusedWithTheRightStatus) {
  EXPECT_EQ(StatusOfParse(GetParam().head), GetParam().status) << GetParam().head;
}

std::string With(const std::string& header, const std::string& method = "POST") {
  return method + " /x HTTP/1.1\r\nHost: a\r\n" + header + "\r\n\r\n";
}

std::string Line(const std::string& line) { return line + "\r\nHost: a\r\n\r\n"; }

INSTANTIATE_TEST_SUITE_P(
    Table, HeadTable,
    testing::Values(
        Case{"plain", With("A: b"), 200}, Case{"body", With("Content-Length: 5"), 200},
        Case{"old_version_without_host", "GET / HTTP/1.0\r\n\r\n", 200},
        // Smuggling: whatever two parsers could read differently.
        Case{"both_lengths", With("Content-Length: 5\r\nTransfer-Encoding: chunked"), 411},
        Case{"chunked", With("Transfer-Encoding: chunked"), 411},
        Case{"chunked_in_disguise", With("Transfer-Encoding:\tchunked "), 411},
        Case{"blank_before_colon", With("Transfer-Encoding : chunked"), 400},
        Case{"two_lengths", With("Content-Length: 5\r\nContent-Length: 5"), 400},
        Case{"list_of_lengths", With("Content-Length: 5, 5"), 400},
        Case{"signed_length", With("Content-Length: +5"), 400},
        Case{"negative_length", With("Content-Length: -1"), 400},
        Case{"hex_length", With("Content-Length: 0x5"), 400},
        Case{"empty_length", With("Content-Length:"), 400},
        Case{"length_above_the_limit", With("Content-Length: 65537"), 413},
        Case{"length_that_overflows", With("Content-Length: 18446744073709551621"), 413},
        Case{"body_of_a_get", With("Content-Length: 5", "GET"), 400},
        Case{"body_of_a_head", With("Content-Length: 5", "HEAD"), 400},
        Case{"folded_header", With("A: b\r\n c: d"), 400}, Case{"no_colon", With("Nonsense"), 400},
        Case{"empty_name", With(": x"), 400},
        Case{"bare_cr_in_a_value", With("A: b\rContent-Length: 5"), 400},
        Case{"nul_in_a_value", With(std::string("A: b\0c", 6)), 400},
        Case{"two_hosts", With("Host: b"), 400},
        Case{"no_host", "GET / HTTP/1.1\r\nA: b\r\n\r\n", 400},
        Case{"encoded_body", With("Content-Encoding: gzip\r\nContent-Length: 5"), 415},
        Case{"multipart_body", With("Content-Type: Multipart/form-data; boundary=x"), 415},
        Case{"strange_expectation", With("Expect: wonders"), 417},
        Case{"continue", With("Expect: 100-Continue"), 200},
        // The request line.
        Case{"two_blanks", Line("GET  / HTTP/1.1"), 400}, Case{"tab", Line("GET\t/ HTTP/1.1"), 400},
        Case{"no_version", Line("GET /"), 400}, Case{"http2", Line("PRI * HTTP/2.0"), 505},
        Case{"lower_case_version", Line("GET / http/1.1"), 400},
        Case{"unknown_method", Line("BREW / HTTP/1.1"), 501},
        Case{"trace", Line("TRACE / HTTP/1.1"), 501},
        Case{"connect", Line("CONNECT a:1 HTTP/1.1"), 501},
        Case{"absolute_form", Line("GET http://a/ HTTP/1.1"), 400},
        Case{"asterisk", Line("OPTIONS * HTTP/1.1"), 400},
        Case{"eight_bit_target", Line("GET /\xE9 HTTP/1.1"), 400},
        Case{"half_an_escape", Line("GET /%4 HTTP/1.1"), 400},
        Case{"escaped_newline", Line("GET /a%0Ab HTTP/1.1"), 400},
        Case{"escaped_nul", Line("GET /a%00 HTTP/1.1"), 400},
        Case{"long_target", Line("GET /" + std::string(2048, 'a') + " HTTP/1.1"), 414},
        Case{"long_header", With("A: " + std::string(8000, 'a')), 431}),
    [](const testing::TestParamInfo<Case>& row) { return row.param.what; });

TEST(RequestHead, RefusesMoreHeadersThanTheLimit) {
  std::string text = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 63; ++i) absl::StrAppend(&text, "A", i, ": b\r\n");
  EXPECT_EQ(StatusOfParse(text + "\r\n"), 200);
  EXPECT_EQ(StatusOfParse(text + "One: more\r\n\r\n"), 431);
}

TEST(RequestHead, IsRewrittenWithOneLengthAndNothingAboutTheConnection) {
  const auto parsed = Parse(
      "POST /a?b=1 HTTP/1.1\r\nHost: h\r\nRange: bytes=0-1\r\nconnection: keep-alive, Close\r\n"
      "Upgrade: h2c\r\nAccept-Encoding: br, gzip\r\nX-A: 1\r\ncontent-length: 3\r\n\r\n");
  const auto& head = std::get<RequestHead>(parsed);
  EXPECT_EQ(head.content_length, 3U);
  EXPECT_FALSE(head.keep_alive);
  EXPECT_EQ(head.Rewritten(),
            "POST /a?b=1 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nAccept-Encoding: gzip\r\n"
            "Content-Length: 3\r\nConnection: close\r\n\r\n");
}

TEST(FindHeadEnd, WaitsForTheEmptyLineAndRefusesBareLineFeeds) {
  EXPECT_EQ(FindHeadEnd("GET / HTTP/1.1\r\nA: b\r\n").size, 0U);
  EXPECT_EQ(FindHeadEnd("G\r\nA: b\r\n\r\nrest").size, 11U);
  EXPECT_TRUE(FindHeadEnd("GET / HTTP/1.1\n").bare_lf);
  EXPECT_TRUE(FindHeadEnd("\n").bare_lf);
  EXPECT_FALSE(FindHeadEnd("GET / HTTP/1.1\r").bare_lf);
}

}  // namespace
}  // namespace credbroker::http
