// A session whose targets may be served from the last known material.
#ifndef CREDBROKER_TESTS_CLIENT_SERVE_LAST_FIXTURE_H_
#define CREDBROKER_TESTS_CLIENT_SERVE_LAST_FIXTURE_H_

#include <memory>
#include <string>
#include <utility>

#include "tests/client/session_fixture.h"

namespace credbroker::client {

class ServeLastTest : public SessionTest {
 protected:
  // A target without stock that may be served.
  static Target Servable(const std::string& model, int max) {
    Target target;
    target.providers = {"openai"};
    target.model = model;
    target.stock = {.max = 0, .initial = 0};
    target.when_lost = WhenLost::kServeLast;
    target.max_serve_last = max;
    return target;
  }
  TargetId DeclareModel(const std::string& model, int max = 64) {
    return Declare(Servable(model, max));
  }
  // One whose material is known from a lease that has ended.
  TargetId Known(int max = 64) {
    const TargetId id = DeclareModel("", max);
    TakeDirect(id).Release();
    return id;
  }
  // Another target gets the id of this one, and its material is known; acquires are held again.
  void Replace(TargetId id, const std::string& model, int max) {
    core_->Retire(id);
    core_->Declare(id, Servable(model, max));
    broker_.HoldAcquires(false);
    TakeDirect(id).Release();
    Settle();
    broker_.HoldAcquires(true);
  }
  // Revokes credential 1.
  void SendRevocation(uint64_t covers, const std::string& model) {
    v1::SessionResponse response;
    v1::SessionRevocation* revocation = response.add_revocations();
    revocation->set_number(1);
    revocation->set_credential(1);
    revocation->set_model(model);
    revocation->set_covers(covers);
    revocation->set_reason(v1::SESSION_REVOCATION_REASON_COOLING);
    broker_.Send(response);
    Settle();
  }
  // As if the broker had said it, also while it does not answer.
  void Deliver(v1::SessionResponse message) {
    StreamEvent event;
    event.kind = StreamEvent::Kind::kMessage;
    event.message = &message;
    core_->Handle(event);
    Settle();
  }
  // That the hello is answered, and nothing of what it named.
  void DeliverWelcome() {
    v1::SessionResponse response;
    v1::SessionWelcome* welcome = response.mutable_welcome();
    welcome->set_session_id("session-1");
    welcome->set_resumed(true);
    welcome->mutable_ttl()->set_seconds(15);
    welcome->mutable_ping_interval()->set_seconds(5);
    welcome->set_epoch(1);
    ToWire(absl::FromUnixNanos(broker_.NowUnixNanos()), welcome->mutable_now());
    Deliver(std::move(response));
  }
  void ExpectServed(const std::shared_ptr<Answer>& answer) {
    ASSERT_TRUE(answer->answered());
    ASSERT_TRUE(answer->result->ok()) << answer->status();
    EXPECT_TRUE(answer->lease().served_last());
  }
};

}  // namespace credbroker::client

#endif  // CREDBROKER_TESTS_CLIENT_SERVE_LAST_FIXTURE_H_
