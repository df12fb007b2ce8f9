// Worker: one thread for what would hold up a loop thread: lists, exports, explanations, imports.
//
// Thread-safety: Post may be called from any thread.
#ifndef CREDBROKER_SERVER_RPC_WORKER_H_
#define CREDBROKER_SERVER_RPC_WORKER_H_

#include <cstddef>
#include <deque>
#include <thread>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "server/engine/mutex.h"

namespace credbroker::rpc {

class Worker {
 public:
  explicit Worker(size_t limit = 256) : limit_(limit), thread_([this] { Run(); }) {}
  ~Worker() { Stop(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // False, and the task is dropped: too many wait already, or stopped.
  bool Post(absl::AnyInvocable<void()> task) {
    engine::MutexLock lock(mutex_);
    if (stopped_ || tasks_.size() >= limit_) return false;
    tasks_.push_back(std::move(task));
    wake_.NotifyOne();
    return true;
  }
  // Runs what was posted, then ends. Idempotent.
  void Stop() {
    {
      engine::MutexLock lock(mutex_);
      stopped_ = true;
      wake_.NotifyAll();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  void Run() {
    while (true) {
      absl::AnyInvocable<void()> task;
      {
        engine::MutexLock lock(mutex_);
        while (tasks_.empty() && !stopped_) wake_.Wait(mutex_);
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }

  const size_t limit_;
  engine::Mutex mutex_;
  engine::CondVar wake_;
  std::deque<absl::AnyInvocable<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_WORKER_H_
