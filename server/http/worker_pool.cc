#include "server/http/worker_pool.h"

#include <utility>

namespace credbroker::http {

WorkerPool::WorkerPool(size_t threads) : state_(std::make_shared<State>()) {
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
      ++state.running;
      lock.unlock();
      job();
    }  // The job's captures die outside the lock.
    lock.lock();
    if (--state.running == 0 && state.stopping) state.changed.notify_all();
  }
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
    const auto none_runs = [this] { return state_->running == 0; };
    if (grace == absl::InfiniteDuration()) {
      state_->changed.wait(lock, none_runs);
      all_done = true;
    } else {
      all_done = state_->changed.wait_for(lock, absl::ToChronoNanoseconds(grace), none_runs);
    }
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
