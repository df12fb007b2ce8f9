// EventLoop: the thread of a Listener that owns every socket.
//
// Each connection is data with a phase and a deadline:
//   head -> body -> handling -> writing -> head ... or -> lingering -> closed
// Nothing in here blocks but poll(2). Handlers run elsewhere and answer through the Mailbox.
//
// Thread-safety: Run on one thread; RequestStop and refused from any.
#ifndef CREDBROKER_SERVER_HTTP_EVENT_LOOP_H_
#define CREDBROKER_SERVER_HTTP_EVENT_LOOP_H_

#include <poll.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "server/http/exchange.h"
#include "server/http/file_descriptor.h"
#include "server/http/listener.h"
#include "server/http/request_head.h"

namespace credbroker::http {

// Where workers leave answers, and other threads connections; wakes the loop. Thread-safe.
class Mailbox {
 public:
  struct Letter {
    uint64_t connection = 0;
    Exchange::Answer answer;
  };

  Mailbox();
  int fd() const { return event_.get(); }
  void Post(Letter letter);
  void Wake();
  std::vector<Letter> TakeAll();
  void HandOver(FileDescriptor socket);
  std::vector<FileDescriptor> TakeSockets();

 private:
  const FileDescriptor event_;
  std::mutex mutex_;  // Guards what follows.
  std::vector<Letter> letters_;
  std::vector<FileDescriptor> sockets_;
};

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  struct Job {
    RequestHead head;
    std::string body;
    std::string remote_address;
    bool last = false;
  };
  // Gets a complete request; must post exactly one letter for that connection to the mailbox.
  using Submit = std::function<void(uint64_t connection, Job job)>;

  // `listen` may be invalid: then all connections come through the mailbox.
  EventLoop(FileDescriptor listen, const ListenerOptions& options, std::shared_ptr<Mailbox> mailbox,
            Submit submit);

  void Run();
  // Once Run returned: no handler has still to answer.
  bool all_answered() const { return all_answered_; }
  void RequestStop(Clock::time_point deadline);
  // Requests answered without a handler: malformed, too large, too slow.
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  enum class Phase { kHead, kBody, kHandling, kWriting, kLingering };
  struct Connection {
    FileDescriptor socket;
    std::string remote_address;
    Phase phase = Phase::kHead;
    Clock::time_point deadline;
    std::string in;
    std::string out;
    size_t out_at = 0;
    std::optional<RequestHead> head;
    int requests = 0;
    bool close_after_write = false;
    size_t discarded = 0;
  };
  using Connections = std::map<uint64_t, Connection>;

  bool Stopping(Clock::time_point now);
  void Poll(Clock::time_point now);
  void Accept();
  void Adopt();
  void Add(FileDescriptor socket, std::string remote_address);
  bool MakeRoom();
  // These return false when the connection is over.
  bool OnEvent(uint64_t id, Connection& connection, short events);
  bool OnReadable(uint64_t id, Connection& connection);
  bool Advance(uint64_t id, Connection& connection);
  bool AdvanceHead(Connection& connection);
  bool AdvanceBody(uint64_t id, Connection& connection);
  bool StartWriting(Connection& connection, std::string bytes, bool close_after);
  bool Flush(uint64_t id, Connection& connection);
  bool Refuse(Connection& connection, const Refusal& refusal);
  bool OnDeadline(Connection& connection);
  void Deliver();
  void Expire(Clock::time_point now);

  FileDescriptor listen_;
  const ListenerOptions options_;
  const std::shared_ptr<Mailbox> mailbox_;
  const Submit submit_;

  Connections connections_;
  uint64_t next_id_ = 1;
  bool all_answered_ = false;
  std::atomic<uint64_t> refused_{0};
  Clock::time_point accept_again_;  // After running out of descriptors.
  std::vector<pollfd> polled_;      // Scratch of Poll.
  std::vector<uint64_t> polled_ids_;

  std::mutex stop_mutex_;  // Guards stop_at_.
  std::optional<Clock::time_point> stop_at_;
};

}  // namespace credbroker::http

#endif  // CREDBROKER_SERVER_HTTP_EVENT_LOOP_H_
