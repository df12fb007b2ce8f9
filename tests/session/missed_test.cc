// Revocations that come while the grant they mean is on its way to the client.
#include "server/session/missed_revocations.h"

#include <functional>
#include <optional>

#include "tests/session/session_fixture.h"

namespace credbroker::session {
namespace {

core::Revoked Of(uint64_t uid, uint64_t covers, const std::string& model = "") {
  return {.uid = core::Uid(uid), .model = model, .covers = core::LeaseSeq(covers)};
}

TEST(MissedRevocationsTest, KeepsTheNewestOfEachModelAndGivesItOnce) {
  MissedRevocations missed;
  missed.Add(Of(1, 7));
  missed.Add(Of(2, 8, "m"));
  missed.Add(Of(1, 5));
  missed.Add(Of(1, 9, "m"));
  const std::vector<core::Revoked> taken = missed.Take(core::Uid(1));
  ASSERT_EQ(taken.size(), 2u);
  EXPECT_EQ(taken[0].covers.number() + taken[1].covers.number(), 7u + 9u);
  EXPECT_TRUE(missed.Take(core::Uid(1)).empty());
  EXPECT_EQ(missed.Take(core::Uid(2)).size(), 1u);
}

TEST(MissedRevocationsTest, WhatItLostMayHaveMeantAnyone) {
  MissedRevocations missed;
  for (uint64_t i = 1; i <= MissedRevocations::kMax; ++i) missed.Add(Of(i, i));
  EXPECT_TRUE(missed.Take(core::Uid(5'000)).empty());
  missed.Add(Of(1'000, 300));
  missed.Add(Of(1'001, 290));
  const std::vector<core::Revoked> taken = missed.Take(core::Uid(5'000));
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].uid.number(), 5'000u);
  EXPECT_EQ(taken[0].covers.number(), 300u);
  EXPECT_TRUE(taken[0].model.empty());
  EXPECT_EQ(missed.Take(core::Uid(7)).size(), 2u);
  missed.Clear();
  EXPECT_TRUE(missed.Take(core::Uid(8)).empty());
}

// The registry, but for what a test does between a grant and its message.
class Between : public SessionHost {
 public:
  explicit Between(SessionRegistry& registry) : registry_(registry) {}

  void Open(std::shared_ptr<SessionPeer> peer, const v1::SessionHello& hello) override {
    registry_.Open(std::move(peer), hello);
  }
  void Left(SessionPeer& peer) override { registry_.Left(peer); }
  engine::EngineSessions& engine() override { return registry_.engine(); }
  absl::Time Now() const override {
    // Asked for the time once the pool has answered, without a lock.
    if (ready && ready()) std::exchange(then, nullptr)();
    return registry_.Now();
  }
  Terms terms() const override { return registry_.terms(); }
  uint64_t epoch() const override { return registry_.epoch(); }
  std::string BaseUrlOf(absl::string_view provider, core::Kind kind) const override {
    return registry_.BaseUrlOf(provider, kind);
  }
  Counters& counters() override { return registry_.counters(); }
  int64_t AddQueued(int64_t bytes) override { return registry_.AddQueued(bytes); }

  std::function<bool()> ready;
  mutable std::function<void()> then;

 private:
  SessionRegistry& registry_;
};

class MissedTest : public SessionTest, public engine::SessionListener {
 protected:
  // The first revocation that the engine tells: what its command woke is told after that.
  void OnRevoked(absl::Span<const core::Revoked> revoked) override {
    registry_->OnRevoked(revoked);
    if (then_) std::exchange(then_, nullptr)();
  }
  void OnChanged(absl::Span<const core::Uid> changed) override { registry_->OnChanged(changed); }

  engine::AcquireAnswer AcquireModel(const std::string& model) {
    const absl::string_view providers[] = {"openai"};
    core::AcquireCommand command;
    command.principal = "proxy";
    command.providers = providers;
    command.model = model;
    return engine_->Acquire(command, [](engine::AcquireAnswer) {});
  }
  void Park(Client& client, v1::SessionRequest request, uint64_t call) {
    v1::SessionAcquire* acquire = request.add_acquires();
    acquire->set_call(call);
    acquire->set_target(1);
    acquire->mutable_request()->mutable_max_wait()->set_seconds(30);
    EXPECT_EQ(client.Ask(std::move(request)).grants_size(), 0);
  }

  // Up to where a credential was revoked for every model.
  static uint64_t Covered(const v1::SessionResponse& response, uint32_t credential) {
    uint64_t covers = 0;
    for (const v1::SessionRevocation& revocation : response.revocations()) {
      if (revocation.credential() == credential && revocation.model().empty()) {
        covers = std::max(covers, revocation.covers());
      }
    }
    return covers;
  }

  std::function<void()> then_;
};

TEST_F(MissedTest, AModelThatCoolsBeforeItsStockIsToldIsRevokedWithIt) {
  ASSERT_TRUE(Create("a").ok());
  Between host(*registry_);
  Client client(*registry_, "proxy", &host);
  client.Hello();
  const engine::AcquireAnswer other = Acquire();
  host.ready = [&] { return host.then && Stats().pool.leases == 3; };
  host.then = [&] { Report(other.lease_id, 404); };
  const v1::SessionResponse stock = client.Stock(2);
  ASSERT_FALSE(host.then) << "the model cooled in between";
  ASSERT_EQ(stock.stocks(0).leases_size(), 2);
  ASSERT_EQ(stock.revocations_size(), 1);
  EXPECT_EQ(stock.revocations(0).model(), "m");
  EXPECT_EQ(stock.revocations(0).credential(), stock.credentials(0).credential());
  EXPECT_GE(stock.revocations(0).covers(), stock.stocks(0).order());
}

TEST_F(MissedTest, AGrantThatIsOvertakenAfterItsCredentialWasDisabledIsRevoked) {
  CreateCapped("a", 2);
  Client client(*registry_);
  client.Hello();
  const engine::AcquireAnswer first = AcquireModel("z");
  const engine::AcquireAnswer second = AcquireModel("m");
  v1::SessionRequest request = client.Next();
  client.Target(1, "m", request);
  Park(client, std::move(request), 1);
  engine_->sessions().SetListener(this);
  v1::SessionResponse overtaking;
  // Ends the first lease, which wakes the call, and says so of model z.
  then_ = [&] {
    ASSERT_TRUE(SetIntent("a", false).ok());
    ASSERT_TRUE(SetIntent("a", true).ok());
    ASSERT_EQ(Report(second.lease_id, 200).disposition, core::Disposition::kAccepted);
    v1::SessionRequest another = client.Next();
    v1::SessionAcquire* acquire = another.add_acquires();
    acquire->set_call(2);
    acquire->set_target(1);
    overtaking = client.Ask(std::move(another));
  };
  Report(first.lease_id, 404);
  ASSERT_FALSE(then_);
  ASSERT_EQ(overtaking.grants_size(), 1);
  v1::SessionResponse late = client.Read();
  ASSERT_EQ(late.grants_size(), 1);
  EXPECT_EQ(late.grants(0).call(), 1u);
  ASSERT_LT(late.grants(0).order(), overtaking.grants(0).order());
  uint64_t covers = 0;
  for (v1::SessionResponse* response : {&overtaking, &late}) {
    for (const v1::SessionRevocation& revocation : response->revocations()) {
      if (revocation.model().empty()) covers = std::max(covers, revocation.covers());
    }
  }
  EXPECT_GE(covers, late.grants(0).order()) << "it was disabled after this grant";
  EXPECT_LT(covers, overtaking.grants(0).order()) << "and enabled before that one";
  engine_->sessions().SetListener(registry_.get());
}

TEST_F(MissedTest, WhereTooMuchWasRevokedToKnowAGrantIsRevokedWithIt) {
  CreateCapped("a", 1);
  const engine::AcquireAnswer first = AcquireModel("z");
  for (size_t i = 0; i <= MissedRevocations::kMax; ++i) {
    auto document = std::make_shared<core::Document>(*engine::MakeDocument(absl::StrCat("b", i)));
    document->group = "other";
    CreateOf(std::move(document));
  }
  Client client(*registry_);
  client.Hello();
  v1::SessionRequest request = client.Next();
  client.Target(1, "m", request);
  Park(client, std::move(request), 1);
  engine_->sessions().SetListener(this);
  then_ = [&] {
    for (size_t i = 0; i <= MissedRevocations::kMax; ++i) {
      ASSERT_TRUE(SetIntent(absl::StrCat("b", i), false).ok());
    }
  };
  Report(first.lease_id, 404);
  const v1::SessionResponse answer = client.Read();
  ASSERT_EQ(answer.grants_size(), 1);
  EXPECT_EQ(answer.grants(0).call(), 1u);
  EXPECT_GE(Covered(answer, answer.grants(0).credential()), answer.grants(0).order());
  engine_->sessions().SetListener(registry_.get());
}

TEST_F(MissedTest, ALaterLookDoesNotTakeBackWhatWasRevoked) {
  CreateCapped("a", 2);
  Client holder(*registry_), client(*registry_);
  holder.Hello();
  client.Hello();
  v1::SessionRequest request = holder.Next();
  holder.Target(1, "z", request);
  for (uint64_t call = 1; call <= 2; ++call) {
    request.add_acquires()->set_call(call);
    request.mutable_acquires()->rbegin()->set_target(1);
  }
  const v1::SessionResponse held = holder.Ask(std::move(request));
  ASSERT_EQ(held.grants_size(), 2);
  request = client.Next();
  client.Target(1, "m", request);
  Park(client, std::move(request), 1);
  Park(client, client.Next(), 2);
  engine_->sessions().SetListener(this);
  // Both calls are granted at once; then the credential is disabled; then they are told.
  then_ = [&] { ASSERT_TRUE(SetIntent("a", false).ok()); };
  v1::SessionRequest end = holder.Next();
  v1::SessionReport* report = end.add_reports();
  report->set_lease(held.grants(0).lease());
  report->mutable_item()->set_http_status(404);
  end.add_released_leases(held.grants(1).lease());
  holder.Ask(std::move(end));
  ASSERT_FALSE(then_);
  const v1::SessionResponse answer = client.Read();
  ASSERT_EQ(answer.grants_size(), 2);
  for (const v1::SessionGrant& grant : answer.grants()) {
    EXPECT_GE(Covered(answer, grant.credential()), grant.order());
  }
  engine_->sessions().SetListener(registry_.get());
}

TEST_F(MissedTest, WhatChangedWhileAClientWasAwayIsSaidWhenItResumes) {
  ASSERT_TRUE(Create("a").ok());
  Client before(*registry_);
  const std::string id = before.Hello().welcome().session_id();
  const v1::SessionResponse stock = before.Stock(1);
  before.Break();
  engine::Answer<core::CredentialView> capped;
  engine_->Update({.caller = {.actor = "ops"},
                   .id = "a",
                   .etag = "",
                   .patch =
                       [](core::Document& document) {
                         document.max_in_flight = 1;
                         return absl::OkStatus();
                       },
                   .secret = nullptr,
                   .spent = {}},
                  capped.done());
  ASSERT_TRUE(capped.Get().ok());
  engine_->Drain();
  v1::SessionResumedLease lease;
  lease.set_lease(stock.stocks(0).leases(0));
  lease.set_model("m");
  lease.set_ticket(stock.credentials(0).ticket());
  *lease.mutable_grant_time() = stock.stocks(0).grant_time();
  *lease.mutable_expire_time() = stock.stocks(0).expire_time();
  Client after(*registry_);
  v1::SessionResponse hello = after.Hello(id, {lease});
  ASSERT_EQ(hello.resumptions_size(), 1);
  ASSERT_NE(hello.resumptions(0).lease(), 0u);
  EXPECT_GE(Covered(hello, hello.resumptions(0).credential()), hello.resumptions(0).order());
  // And again, as nobody acknowledged it.
  after.Break();
  Client again(*registry_);
  hello = again.Hello(id, {lease});
  ASSERT_EQ(hello.resumptions_size(), 1);
  EXPECT_GE(Covered(hello, hello.resumptions(0).credential()), hello.resumptions(0).order());
  ASSERT_GT(hello.revocations_size(), 0);
  again.Acknowledge(hello.revocations(hello.revocations_size() - 1).number());
  again.Break();
  Client last(*registry_);
  EXPECT_EQ(last.Hello(id, {lease}).revocations_size(), 0);
}

}  // namespace
}  // namespace credbroker::session
