#include <gtest/gtest.h>

#include "client/ctl/command.h"
#include "tests/ctl/fake_broker.h"

namespace credbroker::ctl {
namespace {

struct BadLine {
  std::vector<std::string> args;
  // What the error must name.
  const char* names;
};

class BadCommandLine : public CtlTest, public ::testing::WithParamInterface<BadLine> {};

TEST_P(BadCommandLine, NamesTheFlagAndExitsWithTwo) {
  const Result result = Run(GetParam().args);
  EXPECT_EQ(result.code, 2) << result.out;
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find(GetParam().names), std::string::npos) << result.err;
}

INSTANTIATE_TEST_SUITE_P(
    Lines, BadCommandLine,
    ::testing::Values(
        BadLine{{}, "a command is required"}, BadLine{{"lisst"}, "lisst"},
        BadLine{{"policy"}, "a command is required"}, BadLine{{"list", "--nope"}, "--nope"},
        BadLine{{"list", "stray"}, "stray"}, BadLine{{"list", "--state", "sleepy"}, "--state"},
        BadLine{{"list", "--state", "all", "--state", "all"}, "--state"},
        BadLine{{"list", "--page-size", "0"}, "--page-size"},
        BadLine{{"list", "--page-size", "1001"}, "--page-size"},
        BadLine{{"list", "--page-size", "99999999999999999999"}, "--page-size"},
        BadLine{{"list", "--provider", "a\" OR x"}, "--provider"},
        BadLine{{"list", "--filter"}, "--filter"}, BadLine{{"list", "--filter", ""}, "--filter"},
        BadLine{{"list", "-o", "xml"}, "--output"}, BadLine{{"list", "--color", "red"}, "--color"},
        BadLine{{"list", "--timeout", "10"}, "--timeout"},
        BadLine{{"list", "--server", "nowhere"}, "--server"}, BadLine{{"get"}, "ID"},
        BadLine{{"get", ""}, "ID"}, BadLine{{"acquire"}, "--provider"},
        BadLine{{"acquire", "--label", "x"}, "--label"},
        BadLine{{"acquire", "--provider", "a", "--ttl", "-1s"}, "--ttl"},
        BadLine{{"acquire", "--provider", "a", "--max-wait", "inf"}, "--max-wait"},
        BadLine{{"acquire", "--provider", "a", "--kind", "cookie"}, "--kind"},
        BadLine{{"renew"}, "LEASE"}, BadLine{{"renew", "L", "--ttl", "x"}, "--ttl"},
        BadLine{{"report", "L"}, "--status"},
        BadLine{{"report", "L", "--status", "99"}, "--status"},
        BadLine{{"report", "L", "--status", "4.2"}, "--status"},
        BadLine{{"report", "L", "--status", "429", "--header", "x"}, "--header"},
        BadLine{{"report", "L", "--outcome", "bad"}, "--outcome"},
        BadLine{{"report", "L", "--network-error", "bad"}, "--network-error"},
        BadLine{{"disable", "a", "--until", "soon"}, "--until"},
        BadLine{{"disable", "a", "b", "--etag", "e"}, "--etag"},
        BadLine{{"batch", "a"}, "nothing to do"}, BadLine{{"batch", "--enable"}, "exactly one"},
        BadLine{{"batch", "a", "--enable", "--disable"}, "--enable"},
        BadLine{{"batch", "a", "--enable", "--reason", "x"}, "--reason"},
        BadLine{{"batch", "a", "--delete", "--enable"}, "--delete"},
        BadLine{{"batch", "--filter", "x = 1", "--enable"}, "--expected-count"},
        BadLine{{"batch", "a", "--enable", "--expected-count", "1"}, "--expected-count"},
        BadLine{{"batch", "a", "--set-priority", "1000001"}, "--set-priority"},
        BadLine{{"batch", "a", "--set-label", "x"}, "--set-label"},
        BadLine{{"batch", "a", "--set-proxy", "http://u:pw@h"}, "--set-proxy"},
        BadLine{{"batch", "-", "--enable"}, "-: standard input"},
        BadLine{{"batch", "undo"}, "BATCH"},
        BadLine{{"create", "a", "--provider", "p"}, "--secret-file"},
        BadLine{{"update", "a"}, "nothing to change"},
        BadLine{{"update", "a", "--note", "x", "--clear", "note"}, "--clear"},
        BadLine{{"update", "a", "--disable-cooling", "maybe"}, "--disable-cooling"},
        BadLine{{"import", "/nonexistent", "--source", "s"}, "PATH"},
        BadLine{{"import", "/tmp"}, "--source"},
        BadLine{{"import", "/tmp", "--source", "s", "--keys"}, "--provider"},
        BadLine{{"import", "/tmp", "--source", "s", "--mode", "merge"}, "--mode"},
        BadLine{{"export"}, "DIR"},
        BadLine{{"explain", "--pin", "a", "--verdict", "no"}, "--verdict"},
        BadLine{{"watch", "--initial", "--cursor", "c"}, "--cursor"},
        BadLine{{"policy", "test", "--status", "429"}, "--provider"},
        BadLine{{"policy", "test", "--provider", "a", "--level", "-1"}, "--level"},
        BadLine{{"completion", "tcsh"}, "SHELL"}));

TEST_F(CtlTest, TakesGlobalFlagsBeforeAndAfterTheCommand) {
  admin_.on_GetStats.Answer("version: '1'");
  EXPECT_EQ(Run({"-o", "json", "stats"}).out, Run({"stats", "-o", "json"}).out);
  EXPECT_EQ(Run({"stats", "--output=json"}).code, 0);
}

TEST_F(CtlTest, TakesTheServerFromTheEnvironment) {
  variables_["CREDBROKER_SERVER"] = "unix:" + folder_.path() + "/socket";
  EXPECT_EQ(RunBare({"stats"}).code, 0);
  variables_["CREDBROKER_SERVER"] = folder_.path() + "/socket";
  EXPECT_EQ(RunBare({"stats"}).code, 0);
  variables_["CREDBROKER_SERVER"] = "unix:" + folder_.path() + "/nobody";
  const Result result = RunBare({"stats"});
  EXPECT_EQ(result.code, 7);
  EXPECT_NE(result.err.find("cannot reach the broker at unix:" + folder_.path() + "/nobody"),
            std::string::npos)
      << result.err;
}

TEST(Server, IsASocketOrAnAddress) {
  EXPECT_EQ(*ParseServer("unix:/a/b"), "unix:/a/b");
  EXPECT_EQ(*ParseServer("unix:///a/b"), "unix:/a/b");
  EXPECT_EQ(*ParseServer("/a/b"), "unix:/a/b");
  EXPECT_EQ(*ParseServer("localhost:80"), "localhost:80");
  EXPECT_EQ(*ParseServer("[::1]:80"), "[::1]:80");
  for (const char* bad : {"", "unix:", "host", "host:0", "host:65536", ":80", "http://h:80"}) {
    EXPECT_FALSE(ParseServer(bad).ok()) << bad;
  }
  EXPECT_FALSE(ParseServer("/" + std::string(107, 'x')).ok());
}

TEST_F(CtlTest, HelpOfEveryCommandHasUsageAndExamples) {
  const Result top = Run({"--help"});
  EXPECT_EQ(top.code, 0);
  EXPECT_NE(top.out.find("Exit codes:\n  0  done\n"), std::string::npos);
  for (const auto& command : AllCommands()) {
    std::vector<std::string> args;
    std::istringstream words(command->info().name);
    for (std::string word; words >> word;) args.push_back(word);
    args.push_back("--help");
    const Result result = Run(args);
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(result.err, "");
    const std::string name = std::string("credbrokerctl ") + command->info().name;
    EXPECT_NE(result.out.find("Usage: " + name), std::string::npos) << name;
    EXPECT_NE(result.out.find("Examples:\n"), std::string::npos) << name;
    EXPECT_NE(top.out.find(std::string("  ") + command->info().name), std::string::npos) << name;
    std::istringstream lines(result.out);
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(line.size(), 110u) << name;
      EXPECT_TRUE(line.empty() || line.back() != ' ') << name << ": " << line;
    }
  }
}

TEST_F(CtlTest, HelpOfACommandReads) {
  EXPECT_EQ(Run({"renew", "--help"}).out, R"(Move a lease's expiry to now + ttl.

Usage: credbrokerctl renew [FLAGS] LEASE

Flags:
  LEASE                       the lease's id
  --ttl SPAN                  from now, 1s to 1h; default 2m

Global flags:
  --server ADDR               the broker: unix:/path or host:port; default $CREDBROKER_SERVER,
                              else unix:/run/credbroker/broker.sock
  --timeout SPAN              give up after this; default 10s a call, 10m for import, export and
                              batch
  -o, --output FORMAT         table, wide or json (the response as protobuf JSON; fields without
                              value included)
  --color WHEN                auto (on terminals, unless NO_COLOR is set), always or never

Examples:
  credbrokerctl renew LEASE
  credbrokerctl renew LEASE --ttl 10m
)");
}

TEST_F(CtlTest, PrintsItsVersionWithoutABroker) {
  EXPECT_EQ(RunBare({"version", "-o", "json"}).out, "{\"version\": \"" CREDBROKER_VERSION "\"}\n");
}

}  // namespace
}  // namespace credbroker::ctl
