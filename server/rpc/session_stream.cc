#include "server/rpc/session_stream.h"

#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "server/rpc/wire.h"

namespace credbroker::rpc {
namespace {

// A session message that needs more memory than this is not kept for the next one.
constexpr size_t kKeepBytes = 64 * 1024;
// How often the end of a drain is looked for.
constexpr absl::Duration kDrainStep = absl::Milliseconds(10);

// Carries one SessionPeer's messages; lives as long as the stream's events.
class SessionStream final : public session::Wire {
 public:
  SessionStream(session::SessionHost& host, absl::string_view principal,
                std::shared_ptr<BidiStream> stream)
      : stream_(std::move(stream)),
        peer_(std::make_shared<session::SessionPeer>(host, principal, *this)) {}

  // Wire:
  bool Send(const v1::SessionResponse& message) override {
    grpc::ByteBuffer bytes = Serialize(message);
    return stream_->Write(bytes);
  }
  void ReadOn() override { stream_->Read(); }
  void End(const grpc::Status& status) override { stream_->Finish(status); }
  void Cut() override { stream_->Cancel(); }

  const std::shared_ptr<session::SessionPeer>& peer() const { return peer_; }

  // The stream's events.
  void OnMessage(grpc::ByteBuffer& bytes) {
    const size_t size = bytes.Length();
    if (const grpc::Status status = Parse(bytes, request_); !status.ok()) {
      return peer_->OnBadMessage(status);
    }
    peer_->OnMessage(request_);
    // What one huge message made us allocate is not kept for all later ones.
    if (size > kKeepBytes) request_ = v1::SessionRequest();
  }
  void OnWritten() { peer_->OnWritten(); }
  void OnEnd() { peer_->OnEnd(); }
  void OnOver() { peer_->OnOver(); }

 private:
  const std::shared_ptr<BidiStream> stream_;
  const std::shared_ptr<session::SessionPeer> peer_;
  v1::SessionRequest request_;
};

}  // namespace

SessionService::SessionService(engine::Engine& engine, const ServingGate& gate,
                               session::Terms terms)
    : engine_(engine), gate_(gate), registry_(engine, terms) {}

SessionService::~SessionService() {
  {
    engine::MutexLock lock(mutex_);
    stop_ = true;
    wake_.NotifyAll();
  }
  if (sweeper_.joinable()) sweeper_.join();
}

void SessionService::Start() {
  std::call_once(started_, [this] {
    registry_.Start(engine_.Stats().epoch);
    sweeper_ = std::thread([this] { Run(); });
  });
}

void SessionService::Run() {
  engine::MutexLock lock(mutex_);
  while (!stop_) {
    wake_.WaitFor(mutex_, absl::ToChronoNanoseconds(session::SessionRegistry::kSweep));
    if (stop_) return;
    mutex_.Unlock();
    registry_.Sweep();
    mutex_.Lock();
  }
}

void SessionService::Drain(absl::Duration patience) {
  registry_.GoAway(patience, "the server is stopping");
  const absl::Time until = absl::Now() + patience;
  while (registry_.open() > 0 && absl::Now() < until) absl::SleepFor(kDrainStep);
  registry_.EndAll(Error(v1::ERROR_REASON_SHUTTING_DOWN, "the server is stopping"));
}

void SessionService::Serve(const CallInfo& info, const std::shared_ptr<BidiStream>& stream) {
  if (!gate_.open()) return stream->Finish(gate_.Closed());
  Start();
  auto session = std::make_shared<SessionStream>(registry_, info.principal, stream);
  // Through the events the stream keeps it, and it keeps the stream, until the stream is over.
  stream->OnEvents({.message = [session](grpc::ByteBuffer& bytes) { session->OnMessage(bytes); },
                    .end = [session] { session->OnEnd(); },
                    .written = [session] { session->OnWritten(); },
                    .over = [session] { session->OnOver(); }});
  registry_.Arrived(session->peer());
  stream->Read();
}

}  // namespace credbroker::rpc
