#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/config/config.h"
#include "tests/config/base_file.h"

namespace credbroker::config {
namespace {

constexpr absl::string_view kOld =
    "listeners: {data: [{unix_socket: {path: /a.sock}}]}\n"
    "store: {sqlite: {path: /s.db}}\n"
    "keyring: {path: /k}\n"
    "http: {address: \"127.0.0.1:80\"}\n";

std::shared_ptr<const Loaded> Load(absl::string_view text) {
  const auto loaded = LoadText("/a.yaml", text);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return *loaded;
}

std::string With(absl::string_view from, absl::string_view to) {
  std::string text(kOld);
  const size_t at = text.find(std::string(from));
  EXPECT_NE(at, std::string::npos);
  return text.replace(at, from.size(), to.data(), to.size());
}

void ExpectRefused(const std::string& text, absl::string_view field) {
  const absl::Status status = CheckReloadable(*Load(kOld), *Load(text));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << text;
  EXPECT_TRUE(absl::StartsWith(status.message(), field)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "restart")) << status;
}

TEST(Reload, AppliesWhatTheSchemaMarks) {
  for (const char* const added :
       {"policy: [{name: a, match: {statuses: [410]}, scope: request, action: none}]\n",
        "groups: [{name: b}]\n", "providers: [{name: claude, cap: 1m}]\n",
        "labels: [{key: team}]\n", "limits: {max_wait: 5s, max_connections: 7}\n",
        "sources: [{name: a, path: /tmp}]\n", "log: {level: debug}\n"}) {
    const auto now = Load(absl::StrCat(kOld, added));
    EXPECT_EQ(CheckReloadable(*Load(kOld), *now), absl::OkStatus()) << added;
    EXPECT_EQ(CheckReloadable(*now, *Load(kOld)), absl::OkStatus()) << added;
  }
}

TEST(Reload, IsRefusedForAnythingElseNamingTheField) {
  ExpectRefused(With("/a.sock", "/b.sock"), "listeners.data[0].unix_socket.path: ");
  ExpectRefused(With("[{unix", "[{unix_socket: {path: /b.sock}}, {unix"), "listeners.data: ");
  ExpectRefused(With("{path: /a.sock}", "{path: /a.sock, admitted_uids: [7]}"),
                "listeners.data[0].unix_socket.admitted_uids: ");
  ExpectRefused(With("/s.db}", "/t.db}"), "store.sqlite.path: ");
  ExpectRefused(With("/s.db}", "/s.db}, write_behind: 20ms"), "store.write_behind: ");
  ExpectRefused(With("sqlite: {path: /s.db}", "memory: {}"), "store.sqlite: ");
  ExpectRefused(With("/k", "/l"), "keyring.path: ");
  ExpectRefused(With(":80", ":81"), "http.address: ");
  ExpectRefused(With("http: {address: \"127.0.0.1:80\"}\n", ""), "http: ");
  ExpectRefused(absl::StrCat(kOld, "log: {path: /log}\n"), "log.path: ");
  ExpectRefused(absl::StrCat(kOld, "runtime: {reflection: true}\n"), "runtime.reflection: ");
  ExpectRefused(absl::StrCat(kOld, "runtime: {watchdog: {failures: 9}}\n"),
                "runtime.watchdog.failures: ");
}

TEST(Reload, IsRefusedAsAWholeAndNamesEveryField) {
  const auto now = Load(With("/k", "/l") + "log: {level: debug, path: /log}\n");
  const absl::Status status = CheckReloadable(*Load(kOld), *now);
  EXPECT_TRUE(absl::StartsWith(status.message(), "keyring.path: ")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "\nlog.path: ")) << status;
}

TEST(Reload, DoesNotMindADefaultWrittenOut) {
  EXPECT_EQ(CheckReloadable(*Load(kOld), *Load(With("/s.db}", "/s.db}, write_behind: 100ms"))),
            absl::OkStatus());
}

}  // namespace
}  // namespace credbroker::config
