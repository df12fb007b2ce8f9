// Feeds a session whatever a client may send: bytes are split into messages, each is parsed and put
// to a session over a real pool, on a stream in memory. Nothing may crash, and the pool must stay
// whole.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "server/session/registry.h"
#include "tests/session/session_fixture.h"

namespace credbroker::session {
namespace {

// One engine for all inputs: starting one takes longer than an input.
class Broker {
 public:
  Broker() {
    engine::EngineOptions options;
    core::ProviderSettings openai;
    openai.name = "openai";
    openai.headers = {{"authorization", "Bearer {api_key}"}};
    options.settings.providers.push_back(openai);
    engine_ = std::make_unique<engine::Engine>(std::move(options), clock_, store_);
    if (!engine_->Start(engine::TestKeyring()).ok()) __builtin_trap();
    for (const char* id : {"a", "b", "c"}) {
      engine::Answer<core::CredentialView> answer;
      engine_->Create({.caller = {.actor = "fuzz"},
                       .document = engine::MakeDocument(id),
                       .secret = engine::MakeSecret("sk"),
                       .intent = {}},
                      answer.done());
      if (!answer.Get().ok()) __builtin_trap();
    }
    registry_ = std::make_unique<SessionRegistry>(*engine_, Terms());
    registry_->Start(1);
  }
  SessionRegistry& registry() { return *registry_; }
  void Pass(absl::Duration time) {
    clock_.Advance(time);
    engine_->Tick();
    registry_->Sweep();
  }

 private:
  engine::FakeClock clock_;
  store::MemoryStore store_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<SessionRegistry> registry_;
};

// The next piece: two bytes of length, then so many. `data` is moved on.
std::string Piece(const uint8_t*& data, size_t& size) {
  if (size < 2) return "";
  const size_t wanted = static_cast<size_t>(data[0]) | static_cast<size_t>(data[1]) << 8;
  data += 2;
  size -= 2;
  const size_t length = std::min(wanted, size);
  std::string piece(reinterpret_cast<const char*>(data), length);
  data += length;
  size -= length;
  return piece;
}

void Run(const uint8_t* data, size_t size) {
  static Broker* const broker = new Broker;
  Client client(broker->registry());
  bool first = true;
  while (size >= 2 && !client.wire.end.has_value()) {
    v1::SessionRequest request;
    if (!request.ParseFromString(Piece(data, size))) continue;
    // Mostly past the checks that any random bytes would fail.
    if (request.number() % 2 == 0) request.set_number(++client.number);
    if (first) request.mutable_hello();
    const int reads = client.wire.reads;
    client.peer().OnMessage(request);
    while (first && client.wire.reads == reads && !client.wire.ended) {
      std::this_thread::yield();
    }
    first = false;
    client.Read();
  }
  client.Break();
  broker->Pass(absl::Seconds(40));
}

}  // namespace
}  // namespace credbroker::session

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  credbroker::session::Run(data, size);
  return 0;
}
