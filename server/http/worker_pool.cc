#include "server/http/worker_pool.h"

#include <utility>

namespace credbroker::http {

WorkerPool::WorkerPool(size_t threads) : state_(std::make_shared<State>()) {
  state_->threads = threads;
  threads_.reserve(threads);
  for (size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([state = state_] { Work(*state); });
  }
}

WorkerPool::~WorkerPool() { Shutdown(absl::ZeroDuration()); }

void WorkerPool::Submit(std::function<void()> job) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->stopping) return;
    state_->jobs.push_back(std::move(job));
  }
  state_->changed.notify_one();
}

void WorkerPool::Work(State& state) {
  std::unique_lock lock(state.mutex);
  for (;;) {
    state.changed.wait(lock, [&state] { return state.stopping || !state.jobs.empty(); });
    if (state.stopping) break;
    {
      const std::function<void()> job = std::move(state.jobs.front());
      state.jobs.pop_front();
      lock.unlock();
      job();
    }  // The job's captures die outside the lock.
    lock.lock();
  }
  --state.threads;
  state.changed.notify_all();
}

bool WorkerPool::Shutdown(absl::Duration grace) {
  if (threads_.empty()) return true;
  bool all_done = false;
  std::deque<std::function<void()>> dropped;
  {
    std::unique_lock lock(state_->mutex);
    state_->stopping = true;
    dropped.swap(state_->jobs);
    state_->changed.notify_all();
    // An idle thread needs a moment to leave, whatever the grace.
    const auto bound = absl::ToChronoNanoseconds(grace + absl::Milliseconds(100));
    all_done = state_->changed.wait_for(lock, bound, [this] { return state_->threads == 0; });
  }
  for (std::thread& thread : threads_) {
    if (all_done) {
      thread.join();
    } else {
      thread.detach();
    }
  }
  threads_.clear();
  return all_done;
}

}  // namespace credbroker::http
