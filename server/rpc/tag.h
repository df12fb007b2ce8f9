// Tag: what a completion queue hands back, and the loop that runs it.
//
// A queue belongs to one loop thread, so everything a call does in answer to its events runs on one
// thread; only its answer may come from another.
#ifndef CREDBROKER_SERVER_RPC_TAG_H_
#define CREDBROKER_SERVER_RPC_TAG_H_

#include <grpcpp/completion_queue.h>

namespace credbroker::rpc {

class Tag {
 public:
  Tag() = default;
  Tag(const Tag&) = delete;
  Tag& operator=(const Tag&) = delete;
  // `ok` as CompletionQueue::Next gave it.
  virtual void Proceed(bool ok) = 0;

 protected:
  ~Tag() = default;
};

// A tag that calls one member function, so that a call has one tag an event and no state machine.
template <typename T, void (T::*kMember)(bool)>
class MemberTag final : public Tag {
 public:
  explicit MemberTag(T* target) : target_(target) {}
  void Proceed(bool ok) override { (target_->*kMember)(ok); }

 private:
  T* const target_;
};

// Runs events until the queue is shut down and empty.
inline void RunLoop(grpc::CompletionQueue& queue) {
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) static_cast<Tag*>(tag)->Proceed(ok);
}

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_TAG_H_
