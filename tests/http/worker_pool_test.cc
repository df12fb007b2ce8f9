#include "server/http/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>

namespace credbroker::http {
namespace {

TEST(WorkerPool, RunsEveryJob) {
  WorkerPool pool(3);
  std::atomic<int> ran{0};
  std::promise<void> done;
  for (int i = 0; i < 100; ++i) {
    pool.Submit([&] {
      if (++ran == 100) done.set_value();
    });
  }
  done.get_future().wait();
  EXPECT_TRUE(pool.Shutdown(absl::Seconds(10)));
  EXPECT_EQ(ran, 100);
}

TEST(WorkerPool, LetsGoOfAJobThatDoesNotReturn) {
  auto release = std::make_shared<std::promise<void>>();
  auto finished = std::make_shared<std::promise<void>>();
  std::promise<void> started;
  {
    WorkerPool pool(1);
    pool.Submit([&started, finished, blocked = release->get_future().share()] {
      started.set_value();
      blocked.wait();
      finished->set_value();
    });
    started.get_future().wait();
    EXPECT_FALSE(pool.Shutdown(absl::ZeroDuration()));
  }
  release->set_value();
  finished->get_future().wait();
}

TEST(WorkerPool, TakesNothingAfterShutdown) {
  WorkerPool pool(1);
  EXPECT_TRUE(pool.Shutdown(absl::Seconds(10)));
  bool ran = false;
  pool.Submit([&ran] { ran = true; });
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace credbroker::http
