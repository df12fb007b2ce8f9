// Outbox: what one stream has to say and has not yet said, as messages ready to be written.
//
// Messages are cut at kMessageBytes, so that fifty thousand credentials do not become one message
// no client takes. What is written is kept and used again with its memory. Revocations wait apart
// until a message is taken: the newest of one credential and model stands for those before it, so a
// reader that is behind costs at most one entry for each credential it knows. None goes out ahead
// of the announcement of its credential.
//
// Thread-compatible.
#ifndef CREDBROKER_SERVER_SESSION_OUTBOX_H_
#define CREDBROKER_SERVER_SESSION_OUTBOX_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "credbroker/v1/session.pb.h"

namespace credbroker::session {

class Outbox {
 public:
  static constexpr size_t kMessageBytes = 256 * 1024;
  // More revocations than this are not kept for a client that does not read.
  static constexpr size_t kMaxRevocations = 65'536;

  // The message to add to; `bytes` is what is about to be added, roughly.
  v1::SessionResponse& Tail(size_t bytes);
  // Gives it a number, from 1. False: there are too many, the client is to be cut.
  bool Revoke(v1::SessionRevocation revocation);
  uint64_t newest_revocation() const { return revocation_number_; }

  bool empty() const { return ready_.empty() && revocations_.empty(); }
  size_t bytes() const { return bytes_; }
  size_t revocations() const { return revocations_.size() - void_; }
  // The next message, to be given back once it was serialized. Null: nothing to say.
  std::unique_ptr<v1::SessionResponse> Take();
  void GiveBack(std::unique_ptr<v1::SessionResponse> message);
  void Clear();

 private:
  struct Waiting {
    std::unique_ptr<v1::SessionResponse> message;
    size_t bytes = 0;
  };
  static constexpr size_t kSpares = 2;
  static constexpr size_t kKeepBytes = 64 * 1024;  // larger ones are freed
  static constexpr size_t kRevocationsPerMessage = 8'192;

  std::unique_ptr<v1::SessionResponse> Fresh();
  void Compact();
  // How many of the revocations name nothing that is announced first by the waiting message of this
  // place or a later one: a client lets pass the revocation of what it never heard of. Those after
  // the first one held back wait too, as a client acknowledges by the highest number.
  size_t AnnouncedBefore(size_t waiting) const;
  void TakeRevocations(size_t count, v1::SessionResponse& message);

  std::deque<Waiting> ready_;
  size_t bytes_ = 0;
  std::vector<v1::SessionRevocation> revocations_;  // not yet in a message, by number; 0: void
  size_t void_ = 0;
  absl::flat_hash_map<std::pair<uint32_t, std::string>, size_t> by_subject_;
  uint64_t revocation_number_ = 0;
  uint32_t heard_ = 0;  // the highest index announced by a message that was taken; they count up
  std::vector<std::unique_ptr<v1::SessionResponse>> spare_;
};

}  // namespace credbroker::session

#endif  // CREDBROKER_SERVER_SESSION_OUTBOX_H_
