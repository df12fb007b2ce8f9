// Each row: a file, and the beginning of the one line its error must have. "b.yaml" is a whole
// file; the rows of kAdded are laid after BaseFile, so their text begins in line 6.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/config/config.h"
#include "tests/config/base_file.h"

namespace credbroker::config {
namespace {

struct Row {
  std::string text;
  std::string problem;  // after "b.yaml:"
};

void ExpectProblem(const std::string& text, const std::string& problem) {
  SCOPED_TRACE(text.substr(0, 400));
  const auto loaded = LoadText("b.yaml", text);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(loaded.status().message());
  const std::vector<std::string> lines = absl::StrSplit(message, '\n');
  EXPECT_EQ(lines.size(), 1u) << message;
  EXPECT_TRUE(absl::StartsWith(lines[0], absl::StrCat("b.yaml:", problem)))
      << "  got: " << lines[0] << "\n  not: b.yaml:" << problem;
}

std::string Nested(int depth) {
  return absl::StrCat("a: ", std::string(depth, '['), std::string(depth, ']'), "\n");
}

const Row kWhole[] = {
    {"", "1:1: is empty; "},
    {"# nothing\n", "1:1: is empty; "},
    {"- a\n", "1:1: is not a mapping; "},
    {"text\n", "1:1: is not a mapping; "},
    {"a: 1\na: 2\n", "2:1: \"a\" is given twice in one mapping"},
    {"a: &x 1\n", "1:4: an anchor (&name)"},
    {"a: *x\n", "1:"},
    {"a: !!str 5\n", "1:4: a tag (!name)"},
    {"a: 1\n---\nb: 2\n", "2:1: a second document"},
    {"a:\n\tb: 1\n", "2:1: a tab; indent with spaces"},
    {"a: x\ty\n", "1:5: a tab; "},
    {"a: \x01\n", "1:4: control character U+0001"},
    {"a: \xE2\x80\xAE\n", "1:4: control character U+202E"},
    {"a: 1\r b: 2\n", "1:5: control character U+000D"},
    {"a: \"x\\ny\"\n", "1:4: holds a line break or control character"},
    {"a: |\n  x\n  y\n", "1:4: holds a line break or control character"},
    {"b: 1\na: \xC3\x28\n", "2:4: is not UTF-8"},
    {"a: \xED\xA0\x80\n", "1:4: is not UTF-8"},
    {"? [a, b]\n: 1\n", "1:3: a key that is a list or mapping"},
    {"? {a: b}\n: 1\n", "1:3: a key that is a list or mapping"},
    {"~: 1\n", "1:1: a key is missing"},
    {"a: \"x\n", "1:4: a quote that is never closed"},
    {"a: 'x\nb: 1\n", "1:4: a quote that is never closed"},
    {"a: [1\nb: 2\n", "2:"},
    {"a: b: c\n", "1:5: is not YAML"},
    {Nested(40), "1:35: nested deeper than 32"},
    {"a: \"" + std::string(1 << 20, 'x') + "\"\n", "1:1: has 1048582 bytes; at most 1048576"},
    {"store: {memory: {}}\n", "1:1: listeners: no listener; "},
    {"listeners: {data: []}\nstore: {memory: {}}\n", "1:1: listeners: no listener; "},
    {"listeners: {data: [{}]}\nstore: {memory: {}}\n", "1:20: listeners.data[0]: no address; "},
    {"listeners: {data: [{unix_socket: {path: a.sock}}]}\nstore: {memory: {}}\n",
     "1:41: listeners.data[0].unix_socket.path: \"a.sock\" is relative"},
    {"listeners: {data: [{unix_socket: {path: /" + std::string(107, 'a') +
         "}}]}\nstore: {memory: {}}\n",
     "1:41: listeners.data[0].unix_socket.path: has 108 bytes"},
    {"listeners: {data: [{unix_socket: {}}]}\nstore: {memory: {}}\n",
     "1:21: listeners.data[0].unix_socket.path: required"},
    {"listeners: {data: [{unix_socket: {path: /a, mode: 0999}}]}\nstore: {memory: {}}\n",
     "1:51: listeners.data[0].unix_socket.mode: \"0999\" is no permission mode"},
    {"listeners: {data: [{unix_socket: {path: /a}}, {unix_socket: {path: /a}}]}\n"
     "store: {memory: {}}\n",
     "1:68: listeners.data[1].unix_socket.path: is the address of listeners.data[0].unix_socket"},
    {"listeners: {data: [{unix_socket: {path: /a}, tcp: {address: \"[::1]:1\"}}]}\n"
     "store: {memory: {}}\n",
     "1:46: listeners.data[0].tcp: not together with unix_socket; keep one"},
    {"listeners: {data: [{tcp: {address: \"127.0.0.1:1\"}}]}\nstore: {memory: {}}\n",
     "1:21: listeners.data[0].tcp: TLS is not available yet"},
    {"listeners: {data: [{tcp: {address: \"10.0.0.1:1\", plaintext: true}}]}\n"
     "store: {memory: {}}\n",
     "1:36: listeners.data[0].tcp.address: \"10.0.0.1:1\" is not loopback"},
    {"listeners: {admin: [{tcp: {address: \"127.0.0.1.example.com:1\", plaintext: true}}]}\n"
     "store: {memory: {}}\n",
     "1:37: listeners.admin[0].tcp.address: \"127.0.0.1.example.com:1\" is not loopback"},
    {"listeners: {data: [{unix_socket: {path: /a}}]}\n", "1:1: store: required"},
    {"listeners: {data: [{unix_socket: {path: /a}}]}\nstore: {}\n", "2:1: store: required"},
    {"listeners: {data: [{unix_socket: {path: /a}}]}\nstore: {memory: {}, sqlite: {path: /b}}\n",
     "2:21: store.sqlite: not together with memory"},
    {"listeners: {data: [{unix_socket: {path: /a}}]}\nstore: {memory: }\n",
     "2:9: store.memory: has no value; write {}"},
    {"listeners: {data: [{unix_socket: {path: /a}}]}\nstore: {sqlite: {path: /b}}\n",
     "1:1: keyring: required with store.sqlite"},
    {"listeners: {data: [{unix_socket: {path: /a}}]}\nstore: {sqlite: {}}\n"
     "keyring: {path: /k}\n",
     "2:9: store.sqlite.path: required"},
    {"listeners: {data: [{unix_socket: {path: /a}}]}\nstore: {sqlite: {path: /k}}\n"
     "keyring: {path: /k}\n",
     "3:17: keyring.path: is the file of store.sqlite"},
};

const Row kAdded[] = {
    {"limtis: {}\n", "6:1: unknown key \"limtis\"; did you mean limits?"},
    {"colour: red\n", "6:1: unknown key \"colour\"; known here: listeners, http, "},
    {"limits:\n  maxParked: 5\n",
     "7:3: limits: unknown key \"maxParked\"; did you mean max_parked?"},
    {"limits: 5\n", "6:9: limits: wants a mapping, not \"5\""},
    {"limits:\n", "6:1: limits: has no value"},
    {"limits: {max_parked: 1000001}\n",
     "6:22: limits.max_parked: 1000001 is out of range; 1 to 1000000"},
    {"limits: {max_parked: 99999999999}\n",
     "6:22: limits.max_parked: \"99999999999\" is too large"},
    {"limits: {max_parked: -1}\n", "6:22: limits.max_parked: wants a whole number, not \"-1\""},
    {"limits: {max_parked: 0x10}\n", "6:22: limits.max_parked: wants a whole number"},
    {"limits: {max_parked: 010}\n", "6:22: limits.max_parked: wants a whole number"},
    {"limits: {max_parked: \"10\"}\n", "6:22: limits.max_parked: wants a whole number"},
    {"limits: {max_parked: [1]}\n", "6:10: limits.max_parked: wants a whole number, not a list"},
    {"limits: {max_parked: 5, max_parked_per_principal: 6}\n",
     "6:51: limits.max_parked_per_principal: 6 is more than max_parked, 5"},
    {"limits: {max_ttl: 10s, default_ttl: 11s}\n",
     "6:37: limits.default_ttl: is longer than max_ttl"},
    {"limits: {max_wait: 61s}\n", "6:20: limits.max_wait: 1m1s is out of range; 0s to 1m"},
    {"limits: {max_wait: 30}\n", "6:20: limits.max_wait: wants a duration, not \"30\""},
    {"limits: {max_wait: -3s}\n", "6:20: limits.max_wait: wants a duration"},
    {"limits: {max_receive_bytes: 65535}\n",
     "6:29: limits.max_receive_bytes: 65535 is out of range; 65536 to 67108864"},
    {"http: {address: \"8080\"}\n", "6:17: http.address: \"8080\" is no address"},
    {"http: {address: \"localhost:70000\"}\n",
     "6:17: http.address: \"localhost:70000\" is no addr"},
    {"http: {}\n", "6:1: http.address: required"},
    {"http: {address: \"[::1]:80\", threads: 17}\n",
     "6:38: http.threads: 17 is out of range; 1 to 16"},
    {"groups: {name: a}\n", "6:1: groups: wants a list, not a mapping"},
    {"groups: [a]\n", "6:10: groups[0]: wants a mapping, not \"a\""},
    {"groups:\n  -\n", "8:1: groups[0]: is empty; "},
    {"groups: [{name: A}]\n", "6:17: groups[0].name: \"A\" is no name"},
    {"groups: [{strategy: weighted}]\n", "6:10: groups[0].name: required"},
    {"groups: [{name: a}, {name: a}]\n", "6:28: groups[1].name: \"a\" is given twice"},
    {"groups: [{name: no}]\n", "6:17: groups[0].name: wants text; YAML reads no as something else"},
    {"groups: [{name: a, strategy: random}]\n",
     "6:30: groups[0].strategy: \"random\" is none of: round-robin, fill-first, "},
    {"groups: [{name: a, strategy: unspecified}]\n", "6:30: groups[0].strategy: \"unspecified\""},
    {"groups: [{name: a, failback: yes}]\n",
     "6:30: groups[0].failback: wants true or false, not \"yes\""},
    {"groups: [{name: a, session_idle_ttl: 31d}]\n",
     "6:38: groups[0].session_idle_ttl: 31d is out of range; 1s to 30d"},
    {"groups: [{name: a, max_in_flight: 1000001}]\n", "6:35: groups[0].max_in_flight: 1000001 is"},
    {"labels: [{key: Team}]\n", "6:16: labels[0].key: \"Team\" is no label key"},
    {"labels: [{key: a}, {key: a}]\n", "6:26: labels[1].key: \"a\" is given twice"},
    {"labels: [{key: a, values: [x, x]}]\n", "6:31: labels[0].values[1]: \"x\" is given twice"},
    {"labels: [{key: a, values: [x, \"\"]}]\n", "6:31: labels[0].values[1]: has no or too many"},
    {"sources: [{name: a, path: /tmp, group: deflaut}]\n",
     "6:40: sources[0].group: \"deflaut\" is no group; did you mean default?"},
    {"sources: [{name: a}]\n", "6:11: sources[0].path: required"},
    {"sources: [{name: a, path: /tmp, key_per_line: true}]\n",
     "6:47: sources[0].key_per_line: needs provider"},
    {"sources: [{name: a, path: /tmp, provider: nobody}]\n",
     "6:43: sources[0].provider: \"nobody\" is no provider"},
    {"sources: [{name: a, path: /tmp, labels: {team: x}}]\n",
     "6:42: sources[0].labels.team: \"team\" is no declared label"},
    {"sources: [{name: a, path: /tmp, labels: {on: x}}]\n",
     "6:42: sources[0].labels: the key \"on\" is no text; quote it"},
    {"labels: [{key: team, values: [z]}]\nsources: [{name: a, path: /tmp, labels: {team: x}}]\n",
     "7:42: sources[0].labels.team: \"x\" is no value of the label"},
    {"sources: [{name: a, path: /tmp, debounce: 49ms}]\n",
     "6:43: sources[0].debounce: 49ms is out of range; 50ms to 1m"},
    {"log: {level: loud}\n", "6:14: log.level: \"loud\" is none of: debug, info, warn, error"},
    {"runtime: {watchdog: {failures: 101}}\n", "6:32: runtime.watchdog.failures: 101 is out of"},
    {"runtime: {server_threads: 65}\n", "6:27: runtime.server_threads: 65 is out of range; 0 to"},
    {"providers: [{name: p}, {name: p}]\n", "6:31: providers[1].name: \"p\" is given twice"},
    {"providers: [{name: p, aliases: [claude]}]\n",
     "6:33: providers[0].aliases[0]: \"claude\" is taken (built in)"},
    {"providers: [{name: p, headers: [{name: X-Key, value: x}]}]\n",
     "6:40: providers[0].headers[0].name: \"X-Key\" is no lower-case header name"},
    {"providers: [{name: p, headers: [{name: x-key, value: \"{api_key\"}]}]\n",
     "6:54: providers[0].headers[0].value: "},
    {"providers: [{name: p, headers: [{name: x-key, value: \"{refresh_token}\"}]}]\n",
     "6:54: providers[0].headers[0].value: "},
    {"providers: [{name: p, base_url: \"ftp://x\"}]\n", "6:33: providers[0].base_url: is no base"},
    {"providers: [{name: p, base_url: \"https://u:p@x\"}]\n", "6:33: providers[0].base_url: is no"},
    {"providers: [{name: p, cap: 8d}]\n", "6:28: providers[0].cap: 8d is out of range; 1s to 7d"},
    {"providers: [{name: p, kinds: [{base_url: \"https://x\"}]}]\n",
     "6:31: providers[0].kinds[0].kind: required"},
    {"policy: [{match: {statuses: [429]}, scope: credential, action: wait, duration: 1m}]\n",
     "6:10: policy[0].name: required"},
    {"policy: [{name: a, scope: credential, action: wait, duration: 1m}]\n",
     "6:10: policy[0].match: required"},
    {"policy: [{name: a, match: {}, scope: credential, action: wait, duration: 1m}]\n",
     "6:20: policy[0].match: must match on a status"},
    {"policy: [{name: a, match: {statuses: [429]}, action: wait, duration: 1m}]\n",
     "6:10: policy[0].scope: required"},
    {"policy: [{name: a, match: {statuses: [429]}, scope: credential, action: wait}]\n",
     "6:10: policy[0].duration: action wait needs a duration or a ladder"},
    {"policy: [{name: a, match: {statuses: [4299]}, scope: credential, action: none}]\n",
     "6:39: policy[0].match.statuses[0]: \"4299\" is no HTTP status"},
    {"policy: [{name: a, match: {statuses: [429]}, scope: credential, action: wait, "
     "duration: 1m, ladder: {first: 1s, max: 1m}}]\n",
     "6:89: policy[0].duration: not together with a ladder"},
    {"policy: [{name: a, match: {statuses: [429]}, scope: credential, action: wait, "
     "ladder: {first: 2m, max: 1m}}]\n",
     "6:104: policy[0].ladder.max: must be at least ladder.first"},
    {"policy: [{name: a, match: {statuses: [429]}, scope: credential, action: wait, "
     "ladder: {first: 1s, max: 1m, factor: 11}}]\n",
     "6:116: policy[0].ladder.factor: 11 is out of range; 1 to 10"},
    {"policy: [{name: a, match: {statuses: [429]}, scope: model, action: disable}]\n",
     "6:53: policy[0].scope: disable needs credential"},
    {"policy: [{name: a, match: {statuses: [429]}, scope: credential, action: wait, "
     "duration: 1m, cause: operator}]\n",
     "6:100: policy[0].cause: operator is not the cause of a failure"},
    {"providers: [{name: p, policy: [{name: a, match: {header_value: x}, scope: request, "
     "action: none}]}]\n",
     "6:42: providers[0].policy[0].match: must match on"},
};

TEST(BadFile, IsRefusedWithLineColumnAndField) {
  for (const Row& row : kWhole) ExpectProblem(row.text, row.problem);
}

TEST(BadField, IsRefusedWithLineColumnAndField) {
  for (const Row& row : kAdded) ExpectProblem(BaseFile(row.text), row.problem);
}

TEST(BadFile, ShowsAllProblemsInTheOrderOfTheFile) {
  const auto loaded = LoadText("b.yaml", BaseFile("log: {level: loud}\n"
                                                  "limits: {max_wait: 2m, nonsense: 1}\n"
                                                  "groups: [{name: A}]\n"));
  const std::vector<std::string> lines = absl::StrSplit(loaded.status().message(), '\n');
  ASSERT_EQ(lines.size(), 4u) << loaded.status();
  EXPECT_TRUE(absl::StartsWith(lines[0], "b.yaml:6:14: log.level: "));
  EXPECT_TRUE(absl::StartsWith(lines[1], "b.yaml:7:20: limits.max_wait: "));
  EXPECT_TRUE(absl::StartsWith(lines[2], "b.yaml:7:24: limits: unknown key \"nonsense\""));
  EXPECT_TRUE(absl::StartsWith(lines[3], "b.yaml:8:17: groups[0].name: "));
}

TEST(BadFile, ShowsAtMostTwentyProblemsAndCountsTheRest) {
  std::string groups = "groups:\n";
  for (int i = 0; i < 50; ++i) absl::StrAppend(&groups, "  - name: BAD", i, "\n");
  const auto loaded = LoadText("b.yaml", BaseFile(groups));
  const std::vector<std::string> lines = absl::StrSplit(loaded.status().message(), '\n');
  ASSERT_EQ(lines.size(), kMaxProblems + 1);
  EXPECT_EQ(lines.back(), "b.yaml: and 30 more");
}

TEST(BadFile, IsQuotedShortAndPrintable) {
  const auto loaded =
      LoadText("b.yaml", BaseFile("groups: [{name: \"\xC3\xA4" + std::string(900, 'x') + "\"}]\n"));
  EXPECT_LT(loaded.status().message().size(), 250u);
  EXPECT_TRUE(absl::StrContains(loaded.status().message(), "\\xc3\\xa4xxx"));
}

TEST(LoadFile, TellsAnAbsentFileFromABadOne) {
  EXPECT_EQ(LoadFile("/nonexistent/b.yaml").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(LoadFile("/tmp").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(LoadFile("/dev/zero").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace credbroker::config
