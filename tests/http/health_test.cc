#include "server/http/health.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace credbroker::http {
namespace {

class HealthPages : public testing::Test {
 protected:
  HealthPages() { AddHealthPages(router_, health_); }

  Response Ask(const std::string& path) const {
    Request request;
    request.method = "GET";
    request.path = path;
    return router_.Dispatch(request);
  }

  obs::HealthState health_;
  Router router_;
};

TEST_F(HealthPages, AreLiveButNotReadyBeforeTheServerIsWired) {
  EXPECT_EQ(Ask("/livez").status, 200);
  EXPECT_EQ(Ask("/readyz").status, 503);
}

TEST_F(HealthPages, NameEveryFailingCheck) {
  health_.Set("store", absl::UnavailableError("cannot \"open\""));
  health_.Set("config", absl::OkStatus());
  health_.Set("keyring", absl::FailedPreconditionError("no key"));
  const Response response = Ask("/readyz");
  EXPECT_EQ(response.status, 503);
  const nlohmann::json body = nlohmann::json::parse(response.body);
  EXPECT_EQ(body["status"], "not_ready");
  ASSERT_EQ(body["failures"].size(), 2U);
  EXPECT_EQ(body["failures"][0]["check"], "keyring");
  EXPECT_EQ(body["failures"][1]["check"], "store");
  EXPECT_EQ(body["failures"][1]["reason"], "cannot \"open\"");
}

TEST_F(HealthPages, AreReadyWhenAllChecksAreAndNotWhileDraining) {
  health_.Set("store", absl::OkStatus());
  EXPECT_EQ(Ask("/readyz").status, 200);
  EXPECT_EQ(nlohmann::json::parse(Ask("/readyz").body)["status"], "ready");
  health_.StartDraining();
  EXPECT_EQ(Ask("/readyz").status, 503);
  EXPECT_EQ(Ask("/livez").status, 200);
}

TEST_F(HealthPages, AreNotLiveAfterTheWatchdogGaveUp) {
  health_.Fail("listener does not answer");
  EXPECT_EQ(Ask("/livez").status, 503);
}

}  // namespace
}  // namespace credbroker::http
