#include "server/obs/health_state.h"

#include <gtest/gtest.h>

#include <thread>

namespace credbroker::obs {
namespace {

TEST(HealthState, IsNotReadyBeforeAnythingWasRegistered) {
  const HealthState health;
  EXPECT_FALSE(health.CheckReadiness().ready);
  EXPECT_TRUE(health.Liveness().ok());
}

TEST(HealthState, IsReadyWhenEveryCheckIs) {
  HealthState health;
  health.Set("config", absl::OkStatus());
  absl::Status store = absl::UnavailableError("opening");
  health.AddCheck("store", [&store] { return store; });
  const HealthState::Readiness before = health.CheckReadiness();
  EXPECT_FALSE(before.ready);
  ASSERT_EQ(before.failures.size(), 1U);
  EXPECT_EQ(before.failures[0].name, "store");
  EXPECT_EQ(before.failures[0].reason, "opening");
  store = absl::OkStatus();
  EXPECT_TRUE(health.CheckReadiness().ready);
}

TEST(HealthState, IsNotReadyWhileItDrains) {
  HealthState health;
  health.Set("store", absl::OkStatus());
  health.StartDraining();
  EXPECT_FALSE(health.CheckReadiness().ready);
  EXPECT_TRUE(health.Liveness().ok());
}

TEST(HealthState, StaysDeadOnceAWatchdogGaveUp) {
  HealthState health;
  health.Set("store", absl::OkStatus());
  health.Fail("the listener does not answer");
  health.Fail("again");
  EXPECT_EQ(health.Liveness().message(), "the listener does not answer");
  EXPECT_FALSE(health.CheckReadiness().ready);
}

TEST(HealthState, ForgetsARemovedCheck) {
  HealthState health;
  health.Set("a", absl::OkStatus());
  health.Set("b", absl::InternalError("x"));
  health.RemoveCheck("b");
  EXPECT_TRUE(health.CheckReadiness().ready);
}

TEST(HealthState, TellsListenersWhichMayAskBack) {
  HealthState health;
  int ready_calls = 0;
  int calls = 0;
  health.OnChange([&] {
    ++calls;
    if (health.CheckReadiness().ready) ++ready_calls;
  });
  health.Set("a", absl::InternalError("x"));
  health.Set("a", absl::OkStatus());
  health.StartDraining();
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(ready_calls, 1);
}

TEST(HealthState, MayBeChangedWhileItIsRead) {
  HealthState health;
  std::thread writer([&health] {
    for (int i = 0; i < 1000; ++i) health.Set("a", absl::OkStatus());
  });
  for (int i = 0; i < 1000; ++i) health.CheckReadiness();
  writer.join();
  EXPECT_TRUE(health.CheckReadiness().ready);
}

}  // namespace
}  // namespace credbroker::obs
