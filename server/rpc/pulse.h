// Pulse: a thread that calls something now and then, until it goes.
//
// Thread-safety: thread-compatible; `beat` runs on the thread of the pulse.
#ifndef CREDBROKER_SERVER_RPC_PULSE_H_
#define CREDBROKER_SERVER_RPC_PULSE_H_

#include <functional>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "server/engine/mutex.h"

namespace credbroker::rpc {

class Pulse {
 public:
  Pulse(absl::Duration every, std::function<void()> beat)
      : every_(every), beat_(std::move(beat)), thread_([this] { Run(); }) {}
  // Waits for a beat under way.
  ~Pulse() {
    {
      engine::MutexLock lock(mutex_);
      stopped_ = true;
      wake_.NotifyAll();
    }
    thread_.join();
  }
  Pulse(const Pulse&) = delete;
  Pulse& operator=(const Pulse&) = delete;

 private:
  void Run() {
    while (true) {
      {
        engine::MutexLock lock(mutex_);
        if (!stopped_) wake_.WaitFor(mutex_, absl::ToChronoNanoseconds(every_));
        if (stopped_) return;
      }
      beat_();
    }
  }

  const absl::Duration every_;
  const std::function<void()> beat_;
  engine::Mutex mutex_;
  engine::CondVar wake_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses what is above
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_PULSE_H_
