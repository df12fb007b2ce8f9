#include "server/http/worker_pool.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <set>

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

std::set<pid_t> Threads() {
  std::set<pid_t> threads;
  DIR* const folder = opendir("/proc/self/task");
  while (const dirent* entry = readdir(folder)) {
    if (const int id = std::atoi(entry->d_name); id != 0) threads.insert(id);
  }
  closedir(folder);
  return threads;
}

// Keeps a thread from running, as if others had every core: it stands in a signal's handler.
class HeldThread {
 public:
  explicit HeldThread(pid_t thread) {
    EXPECT_EQ(pipe(entered_.data()), 0);
    EXPECT_EQ(pipe(release_.data()), 0);
    struct sigaction action {};
    action.sa_handler = [](int) {
      const int kept = errno;
      char byte = 0;
      while (write(entered_[1], &byte, 1) < 0 && errno == EINTR) {
      }
      while (read(release_[0], &byte, 1) < 0 && errno == EINTR) {
      }
      errno = kept;
    };
    EXPECT_EQ(sigaction(SIGUSR1, &action, &before_), 0);
    EXPECT_EQ(syscall(SYS_tgkill, getpid(), thread, SIGUSR1), 0);
    char byte = 0;
    EXPECT_EQ(read(entered_[0], &byte, 1), 1);
  }
  ~HeldThread() {
    sigaction(SIGUSR1, &before_, nullptr);
    for (const int fd : {entered_[0], entered_[1], release_[0], release_[1]}) close(fd);
  }
  static void Release() { EXPECT_EQ(write(release_[1], "x", 1), 1); }

 private:
  static inline std::array<int, 2> entered_, release_;
  struct sigaction before_ {};
};

TEST(WorkerPool, CallsNoThreadABusyOneBecauseItGetsNoCore) {
  const std::set<pid_t> before = Threads();
  WorkerPool pool(1);
  pid_t worker = 0;
  for (const pid_t thread : Threads()) worker = before.contains(thread) ? worker : thread;
  HeldThread held(worker);
  auto stopped =
      std::async(std::launch::async, [&] { return pool.Shutdown(absl::ZeroDuration()); });
  EXPECT_EQ(stopped.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout);
  HeldThread::Release();
  EXPECT_TRUE(stopped.get());
}

TEST(WorkerPool, WaitsForARunningJobForAsLongAsItIsTold) {
  std::promise<void> started, release;
  WorkerPool pool(2);
  pool.Submit([&] {
    started.set_value();
    release.get_future().wait();
  });
  started.get_future().wait();
  auto stopped =
      std::async(std::launch::async, [&] { return pool.Shutdown(absl::InfiniteDuration()); });
  EXPECT_EQ(stopped.wait_for(std::chrono::milliseconds(10)), std::future_status::timeout);
  release.set_value();
  EXPECT_TRUE(stopped.get());
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
