// Sessions over an engine with a memory store and a clock that stands still; streams in memory.
#ifndef CREDBROKER_TESTS_SESSION_SESSION_FIXTURE_H_
#define CREDBROKER_TESTS_SESSION_SESSION_FIXTURE_H_

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/session/registry.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support/session_wire.h"

namespace credbroker::session {

// One client with its stream.
class Client {
 public:
  // `host`: in the registry's place for the peer.
  explicit Client(SessionRegistry& registry, const std::string& principal = "proxy",
                  SessionHost* host = nullptr)
      : peer_(std::make_shared<SessionPeer>(host == nullptr ? registry : *host, principal, wire)) {
    registry.Arrived(peer_);
  }
  ~Client() { Break(); }

  v1::SessionRequest Next() {
    v1::SessionRequest request;
    request.set_number(++number);
    return request;
  }
  // Sends a message and reads everything there is to read.
  v1::SessionResponse Ask(v1::SessionRequest request) {
    peer_->OnMessage(request);
    return Read();
  }
  v1::SessionResponse Read() {
    v1::SessionResponse all;
    while (wire.in_flight || read_ < wire.sent.size()) {
      for (; read_ < wire.sent.size(); ++read_) all.MergeFrom(wire.sent[read_]);
      if (!std::exchange(wire.in_flight, false)) continue;
      peer_->OnWritten();
    }
    return all;
  }
  // Waits for the welcome: the marker is written by another thread.
  v1::SessionResponse Hello(const std::string& id = "",
                            std::vector<v1::SessionResumedLease> leases = {}) {
    v1::SessionRequest request = Next();
    request.mutable_hello()->set_client("test/1");
    request.mutable_hello()->set_session_id(id);
    for (auto& lease : leases) *request.mutable_hello()->add_leases() = std::move(lease);
    const int reads = wire.reads;
    peer_->OnMessage(request);
    while (wire.reads == reads && !wire.ended) std::this_thread::yield();
    return Read();
  }
  void Target(uint32_t target, const std::string& model, v1::SessionRequest& request) {
    v1::SessionTarget* out = request.add_targets();
    out->set_target(target);
    out->add_providers("openai");
    out->set_model(model);
  }
  v1::SessionResponse Stock(uint32_t count, const std::string& model = "m") {
    v1::SessionRequest request = Next();
    Target(1, model, request);
    v1::SessionPrefetch* prefetch = request.add_prefetches();
    prefetch->set_target(1);
    prefetch->set_count(count);
    return Ask(std::move(request));
  }
  v1::SessionResponse Report(uint64_t lease, int status) {
    v1::SessionRequest request = Next();
    v1::SessionReport* report = request.add_reports();
    report->set_lease(lease);
    report->mutable_item()->set_http_status(status);
    return Ask(std::move(request));
  }
  v1::SessionResponse Acknowledge(uint64_t revocation) {
    v1::SessionRequest request = Next();
    request.set_acknowledged_revocation(revocation);
    return Ask(std::move(request));
  }
  void Break() {
    if (!std::exchange(over_, true)) peer_->OnOver();
  }
  SessionPeer& peer() { return *peer_; }

  FakeWire wire;
  uint64_t number = 0;

 private:
  const std::shared_ptr<SessionPeer> peer_;
  size_t read_ = 0;
  bool over_ = false;
};

class SessionTest : public engine::EngineTest {
 protected:
  SessionTest() { StartRegistry(); }
  ~SessionTest() override { StopRegistry(); }

  void StartRegistry() {
    registry_ = std::make_unique<SessionRegistry>(*engine_, terms_);
    registry_->Start(1);
  }
  // The engine tells the registry what became of its marker until it is stopped.
  void StopRegistry() {
    engine_->Stop(absl::ZeroDuration());
    registry_ = nullptr;
  }
  // A new process on the same disk, which knows no session.
  void RestartAll() {
    StopRegistry();
    Restart();
    StartRegistry();
  }
  void CreateCapped(const std::string& id, int cap) {
    auto document = std::make_shared<core::Document>(*engine::MakeDocument(id));
    document->max_in_flight = cap;
    CreateOf(std::move(document));
  }
  void CreateOf(std::shared_ptr<const core::Document> document) {
    engine::Answer<core::CredentialView> created;
    engine_->Create({.caller = {.actor = "ops"},
                     .document = std::move(document),
                     .secret = engine::MakeSecret("sk-1"),
                     .intent = {}},
                    created.done());
    ASSERT_TRUE(created.Get().ok());
  }
  void Advance(absl::Duration by) {
    clock_.Advance(by);
    engine_->Tick();
    registry_->Sweep();
  }
  engine::EngineStats Stats() const { return engine_->Stats(); }

  Terms terms_;
  std::unique_ptr<SessionRegistry> registry_;
};

}  // namespace credbroker::session

#endif  // CREDBROKER_TESTS_SESSION_SESSION_FIXTURE_H_
