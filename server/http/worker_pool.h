// WorkerPool: a few threads that run handlers. The queue needs no bound of its own: a connection
// has at most one request in it, and the connections are bounded.
//
// Thread-safety: every member may be called from any thread, Shutdown once.
#ifndef CREDBROKER_SERVER_HTTP_WORKER_POOL_H_
#define CREDBROKER_SERVER_HTTP_WORKER_POOL_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace credbroker::http {

class WorkerPool {
 public:
  explicit WorkerPool(size_t threads);
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool();  // As Shutdown with no grace.

  // A job must own what it uses: it may outlive this object when it does not return.
  void Submit(std::function<void()> job);

  // Drops what is queued and waits for the running jobs. False: one was still running after `grace`
  // and its thread was let go. Threads without a job are waited for however long it takes them to
  // be given a core: nothing else keeps them.
  bool Shutdown(absl::Duration grace);

 private:
  struct State {
    std::mutex mutex;  // Guards what follows.
    std::condition_variable changed;
    std::deque<std::function<void()>> jobs;
    bool stopping = false;
    size_t running = 0;  // jobs
  };
  static void Work(State& state);

  const std::shared_ptr<State> state_;
  std::vector<std::thread> threads_;
};

}  // namespace credbroker::http

#endif  // CREDBROKER_SERVER_HTTP_WORKER_POOL_H_
