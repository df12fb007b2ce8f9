// Leases that a session takes in by their tickets, and answers to that which get lost.
#include "tests/session/session_fixture.h"

namespace credbroker::session {
namespace {

constexpr uint64_t kInvented = uint64_t{0xffffffff} << 32;

class AdoptTest : public SessionTest {
 protected:
  // A lease of `id`, as its client would bring it to a later process.
  v1::SessionResumedLease LeaseOfBefore(std::string* session_id) {
    Client client(*registry_);
    *session_id = client.Hello().welcome().session_id();
    v1::SessionRequest request = client.Next();
    client.Target(1, "m", request);
    request.add_acquires()->set_call(1);
    request.mutable_acquires(0)->set_target(1);
    const v1::SessionResponse answer = client.Ask(request);
    v1::SessionResumedLease lease;
    lease.set_lease(answer.grants(0).lease());
    lease.set_model(answer.grants(0).model());
    lease.set_ticket(answer.credentials(0).ticket());
    *lease.mutable_grant_time() = answer.grants(0).grant_time();
    *lease.mutable_expire_time() = answer.grants(0).expire_time();
    client.Break();
    return lease;
  }
};

TEST_F(AdoptTest, AStreamThatIsOverAdoptsNothing) {
  ASSERT_TRUE(Create("a").ok());
  std::string id;
  v1::SessionResumedLease lease = LeaseOfBefore(&id);
  lease.set_lease(kInvented | 1);
  Client before(*registry_), after(*registry_);
  id = before.Hello(id).welcome().session_id();
  EXPECT_TRUE(after.Hello(id).welcome().resumed());
  ASSERT_TRUE(before.wire.end.has_value());
  v1::SessionRequest late = before.Next();  // it was read before the stream was replaced
  *late.add_served_leases() = lease;
  before.peer().OnMessage(late);
  EXPECT_EQ(Stats().pool.session_leases, 0u) << "nobody would ever hear of it";
}

TEST_F(AdoptTest, AnAdoptedLeaseThatTheNextHelloDoesNotNameIsReleased) {
  ASSERT_TRUE(Create("a").ok());
  std::string id;
  const v1::SessionResumedLease lease = LeaseOfBefore(&id);
  RestartAll();
  Client before(*registry_);
  id = before.Hello(id, {lease}).welcome().session_id();
  before.Break();
  EXPECT_EQ(Stats().pool.session_leases, 1u);
  Client after(*registry_);
  EXPECT_TRUE(after.Hello(id).welcome().resumed());
  EXPECT_EQ(Stats().pool.session_leases, 0u);
}

}  // namespace
}  // namespace credbroker::session
