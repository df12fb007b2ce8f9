#include "absl/strings/str_cat.h"
#include "tests/client/session_fixture.h"

namespace credbroker::client {
namespace {

class Stock : public SessionTest {};

TEST_F(Stock, IsFetchedWhenATargetIsDeclaredWithSome) {
  Start();
  const TargetId target = DeclareStock(8);
  EXPECT_EQ(InStock(), 8);
  std::optional<Lease> lease = shared_->TakeStock(target);
  ASSERT_TRUE(lease.has_value());
  EXPECT_TRUE(lease->from_stock());
  EXPECT_EQ(lease->credential_id(), "a");
  ASSERT_EQ(lease->headers().size(), 1);
  EXPECT_EQ(lease->headers()[0].name, "authorization");
  EXPECT_EQ(lease->headers()[0].value.reveal(), "Bearer a v1");
  EXPECT_EQ(lease->expire_time() - lease->grant_time(), absl::Seconds(120));
}

TEST_F(Stock, BeginsWithTheFirstMissWhereNothingWasAskedFor) {
  Start();
  const TargetId target = DeclareStock(0);
  EXPECT_EQ(InStock(), 0);
  EXPECT_FALSE(shared_->TakeStock(target).has_value());
  Settle();
  EXPECT_EQ(InStock(), 4);
}

TEST_F(Stock, IsRefilledWhenHalfOfItIsGone) {
  Start();
  const TargetId target = DeclareStock(8);
  std::vector<Lease> held;
  for (int i = 0; i < 3; ++i) held.push_back(*shared_->TakeStock(target));
  Settle();
  EXPECT_EQ(InStock(), 5);
  held.push_back(*shared_->TakeStock(target));
  Settle();
  EXPECT_EQ(InStock(), 8);
}

TEST_F(Stock, WakesItsSessionWhenHalfOfItIsGone) {
  Start();
  const TargetId target = DeclareStock(8);
  std::vector<Lease> held;
  for (int i = 0; i < 3; ++i) held.push_back(*shared_->TakeStock(target));
  EXPECT_FALSE(broker_.woken());
  held.push_back(*shared_->TakeStock(target));
  EXPECT_TRUE(broker_.woken());
}

TEST_F(Stock, DoublesWhenItWasFoundEmptyUpToItsMaximum) {
  Start();
  const TargetId target = DeclareStock(4, 12);
  for (const uint64_t level : {8, 12, 12}) {
    std::vector<Lease> held;
    while (std::optional<Lease> lease = shared_->TakeStock(target)) {
      held.push_back(*std::move(lease));
    }
    Settle();
    EXPECT_EQ(InStock(), level);
  }
}

TEST_F(Stock, GoesBackWhenNobodyUsedItForAMinute) {
  Start();
  Target wanted;
  wanted.ttl = absl::Minutes(10);  // its age is no reason yet
  wanted.stock = {.max = 8, .initial = 8};
  const TargetId target = Declare(wanted);
  Pass(absl::Seconds(50));
  EXPECT_EQ(InStock(), 8);
  Pass(absl::Seconds(11));
  EXPECT_EQ(InStock(), 0);
  EXPECT_TRUE(broker_.leases().empty());
  EXPECT_EQ(broker_.released(), 8);
  // And begins again when somebody asks.
  EXPECT_FALSE(shared_->TakeStock(target).has_value());
  Settle();
  EXPECT_EQ(InStock(), 4);
}

TEST_F(Stock, GoesBackWhenHalfOfItsLifeIsGone) {
  Start();
  Target target;
  target.ttl = absl::Seconds(20);
  target.stock = {.max = 8, .initial = 8};
  const TargetId id = Declare(target);
  Pass(absl::Seconds(9));
  EXPECT_EQ(broker_.released(), 0);
  // Used all the time, so it is not idle.
  shared_->TakeStock(id)->Release();
  Pass(absl::Seconds(2));
  EXPECT_GE(broker_.released(), 7);
  EXPECT_LE(InStock(), 4);
}

TEST_F(Stock, IsNotHandedOutWhenHalfOfItsLifeIsGoneEvenIfNobodyLookedMeanwhile) {
  Start();
  Target target;
  target.ttl = absl::Seconds(20);
  target.stock = {.max = 8, .initial = 8};
  const TargetId id = Declare(target);
  clock_->Advance(absl::Seconds(10));
  EXPECT_FALSE(shared_->TakeStock(id).has_value());
}

TEST_F(Stock, IsLeftAloneForAWhileWhereOnlyCappedCredentialsServe) {
  Start();
  broker_.RefuseStock("NOT_FOR_STOCK");
  const TargetId target = DeclareStock(8);
  const auto prefetches = [&] {
    size_t count = 0;
    for (const auto& request : broker_.TakeWritten()) count += request.prefetches_size();
    return count;
  };
  EXPECT_EQ(prefetches(), 1);
  for (int i = 0; i < 8; ++i) {
    EXPECT_FALSE(shared_->TakeStock(target).has_value());
    Pass(absl::Milliseconds(500));
  }
  EXPECT_EQ(prefetches(), 0);
  EXPECT_TRUE(TakeDirect(target));
  Pass(absl::Seconds(3));
  EXPECT_EQ(prefetches(), 1);
}

TEST_F(Stock, OfARetiredTargetGoesBackAtOnceAndNeverToTheNextOneWithItsId) {
  Start();
  const TargetId id = DeclareStock(8);
  // A refill is under way when the id changes hands.
  broker_.SetAnswering(false);
  std::vector<Lease> held;
  for (int i = 0; i < 6; ++i) held.push_back(*shared_->TakeStock(id));
  Settle();
  core_->Retire(id);
  Target other;
  other.providers = {"other"};
  other.stock = {.max = 8};
  core_->Declare(id, other);
  broker_.SetAnswering(true);
  Settle();
  EXPECT_EQ(InStock(), 0);
  EXPECT_FALSE(shared_->TakeStock(id).has_value());
  held.clear();
  Pass(absl::Seconds(1));
  EXPECT_EQ(broker_.leases().size(), InStock());
}

TEST_F(Stock, UsesTheNewestMaterialForLeasesOfBefore) {
  Start();
  const TargetId target = DeclareStock(8);
  std::optional<Lease> before = shared_->TakeStock(target);
  broker_.Renew("a");
  Settle();
  std::optional<Lease> after = shared_->TakeStock(target);
  EXPECT_EQ(before->headers()[0].value.reveal(), "Bearer a v1");
  EXPECT_EQ(before->material_version(), 1);
  EXPECT_EQ(after->headers()[0].value.reveal(), "Bearer a v2");
  EXPECT_EQ(after->material_version(), 2);
}

TEST_F(Stock, TakesAnOlderVersionOfMaterialFromAnotherStreamOnly) {
  Start();
  const TargetId target = DeclareStock(8);
  broker_.Renew("a");
  Settle();
  v1::SessionResponse stale;
  stale.add_credentials()->set_credential(1);
  stale.mutable_credentials(0)->set_credential_uid("uid-a");
  stale.mutable_credentials(0)->set_material_version(1);
  broker_.Send(stale);
  Settle();
  EXPECT_EQ(shared_->TakeStock(target)->material_version(), 2);
  // The broker's store was restored from a copy: what it says now holds.
  broker_.Add("a");
  broker_.Break();
  Pass(absl::Seconds(1));
  EXPECT_EQ(shared_->TakeStock(target)->material_version(), 1);
}

TEST_F(Stock, IsSharedBetweenTheShardsOfAllThreads) {
  Start();
  const TargetId target = DeclareStock(16);
  size_t taken = 0;
  std::vector<std::thread> threads;
  std::mutex mutex;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2; ++i) {
        std::optional<Lease> lease = shared_->TakeStock(target);
        const std::lock_guard<std::mutex> lock(mutex);
        taken += lease.has_value();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 16);
}

// --- Direct acquires ---

class Direct : public SessionTest {};

TEST_F(Direct, WaitsForTheFirstConnection) {
  broker_.Add("a");
  broker_.SetReachable(false);
  Begin();
  Settle();
  const TargetId target = DeclareStock(0);
  auto answer = Ask(target);
  EXPECT_FALSE(answer->answered());
  broker_.SetReachable(true);
  Pass(absl::Seconds(1));
  ASSERT_TRUE(answer->answered());
  EXPECT_TRUE(answer->result->ok()) << answer->status();
}

TEST_F(Direct, FailsWithoutAConnectionWhenItsTimeIsOver) {
  broker_.SetReachable(false);
  Begin();
  Settle();
  auto answer = Ask(DeclareStock(0), {}, absl::Seconds(2));
  Pass(absl::Seconds(3));
  ASSERT_TRUE(answer->answered());
  EXPECT_EQ(LocalReasonOf(answer->status()), LocalReason::kNotConnected);
  EXPECT_THAT(std::string(answer->status().message()), testing::HasSubstr("connection refused"));
}

TEST_F(Direct, TellsTheBrokerWhenItsTimeIsOverAndGivesALateGrantBack) {
  Start();
  broker_.SetAnswering(false);
  auto answer = Ask(DeclareStock(0), {}, absl::Seconds(2));
  EXPECT_FALSE(answer->answered());
  broker_.TakeWritten();
  Pass(absl::Seconds(3));
  ASSERT_TRUE(answer->answered());
  EXPECT_EQ(LocalReasonOf(answer->status()), LocalReason::kDeadline);
  std::vector<uint64_t> cancelled;
  for (const auto& request : broker_.TakeWritten()) {
    cancelled.insert(cancelled.end(), request.cancelled_calls().begin(),
                     request.cancelled_calls().end());
  }
  EXPECT_THAT(cancelled, testing::ElementsAre(answer->call));
  broker_.SetAnswering(true);
  Settle();
  EXPECT_TRUE(broker_.leases().empty());
}

TEST_F(Direct, SaysWhyTheBrokerRefused) {
  Start();
  broker_.RefuseAcquires(9, "ALL_DISABLED");
  auto answer = Ask(DeclareStock(0));
  ASSERT_TRUE(answer->answered());
  EXPECT_EQ(answer->status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(answer->status()), v1::ERROR_REASON_ALL_DISABLED);
}

TEST_F(Direct, FindsWhatTheBrokerWouldEndTheStreamFor) {
  Start();
  const TargetId target = DeclareStock(0);
  v1::AcquireRequest request;
  const auto refused = [&](const v1::AcquireRequest& bad, const std::string& field,
                           TargetId id = 0) {
    auto answer = Ask(id, bad);
    EXPECT_TRUE(answer->answered()) << field;
    EXPECT_EQ(answer->status().code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_EQ(ReasonOf(answer->status()), v1::ERROR_REASON_INVALID_FIELD);
    ASSERT_FALSE(FieldErrorsOf(answer->status()).empty()) << field;
    EXPECT_EQ(FieldErrorsOf(answer->status())[0].field, field);
  };
  refused(request, "providers");
  request.set_session_key(std::string(257, 'x'));
  refused(request, "session_key", target);
  request.set_session_key("\xff");
  refused(request, "session_key", target);
  request.set_session_key("\xed\xa0\x80");  // a surrogate
  refused(request, "session_key", target);
  request.set_session_key("two\nlines");
  refused(request, "session_key", target);
  request.set_session_key("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
  EXPECT_TRUE(Ask(target, request)->result->ok());
  request.clear_session_key();
  for (int i = 0; i < 65; ++i) request.add_excluded_credential_ids("x");
  refused(request, "excluded_credential_ids", target);
  request.clear_excluded_credential_ids();
  request.mutable_ttl()->set_seconds(3601);
  refused(request, "ttl", target);
  request.clear_ttl();
  request.add_providers("OpenAI");
  refused(request, "providers");
  EXPECT_EQ(broker_.opened(), 1);
}

TEST_F(Direct, IsNotSentAgainAfterAStreamThatEndedWithAnInvalidArgument) {
  Start();
  const TargetId target = DeclareStock(0);
  broker_.SetAnswering(false);
  auto answer = Ask(target);
  broker_.Break(absl::InvalidArgumentError("acquires[0]: no"));
  broker_.SetAnswering(true);
  Pass(absl::Seconds(1));
  ASSERT_TRUE(answer->answered());
  EXPECT_EQ(answer->status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(shared_->state(), ConnectionState::kConnected);
}

TEST_F(Direct, ExcludesWhatTheCallerNames) {
  Start();
  broker_.Add("b");
  const TargetId target = DeclareStock(0);
  v1::AcquireRequest request;
  request.add_excluded_credential_ids("a");
  for (int i = 0; i < 3; ++i) {
    auto answer = Ask(target, request);
    ASSERT_TRUE(answer->answered() && answer->result->ok());
    EXPECT_EQ(answer->lease().credential_id(), "b");
  }
}

TEST_F(Direct, AsksAgainOnTheNextStreamWhereTheAnswerWasLost) {
  Start();
  const TargetId target = DeclareStock(0);
  broker_.SetAnswering(false);
  auto answer = Ask(target);
  EXPECT_EQ(broker_.leases().size(), 1);
  const uint64_t lost = broker_.last_lease();
  broker_.Break();
  broker_.SetAnswering(true);
  Pass(absl::Seconds(1));
  ASSERT_TRUE(answer->answered());
  ASSERT_TRUE(answer->result->ok());
  // The first grant was not named in the hello, and so released.
  EXPECT_EQ(broker_.leases().size(), 1);
  EXPECT_FALSE(broker_.leases().contains(lost));
}

TEST_F(Direct, IsRefusedWhenTooManyLeasesLive) {
  options_.max_leases = 3;
  Start();
  const TargetId target = DeclareStock(0, 0);
  std::vector<Lease> held;
  for (int i = 0; i < 3; ++i) held.push_back(TakeDirect(target));
  broker_.TakeWritten();
  auto answer = Ask(target);
  ASSERT_TRUE(answer->answered());
  EXPECT_EQ(LocalReasonOf(answer->status()), LocalReason::kTooManyLeases);
  EXPECT_TRUE(broker_.TakeWritten().empty());  // not even asked
  held.pop_back();
  Pass(absl::Seconds(1));
  EXPECT_TRUE(TakeDirect(target));
}

TEST_F(Direct, CutsMaxWaitAtItsDeadline) {
  Start();
  const TargetId target = DeclareStock(0);
  broker_.TakeWritten();
  AcquireCall call;
  call.id = shared_->NextCall();
  call.target = target;
  call.max_wait = absl::Seconds(30);
  call.deadline_ns = clock_->BootNanos() + absl::ToInt64Nanoseconds(absl::Seconds(5));
  call.done = [](const absl::StatusOr<Lease>&) {};
  core_->Acquire(std::move(call));
  Settle();
  for (const auto& request : broker_.TakeWritten()) {
    for (const auto& acquire : request.acquires()) {
      EXPECT_LT(FromWire(acquire.request().max_wait()), absl::Seconds(5));
      EXPECT_GT(FromWire(acquire.request().max_wait()), absl::Seconds(4));
      return;
    }
  }
  FAIL() << "no acquire was sent";
}

TEST_F(Direct, LeaseInUseIsRenewedAtHalfItsLife) {
  Start();
  Lease lease = TakeDirect(DeclareStock(0));
  const absl::Time first = lease.expire_time();
  Pass(absl::Seconds(58));
  EXPECT_EQ(lease.expire_time(), first);
  Pass(absl::Seconds(4));
  EXPECT_GT(lease.expire_time(), first + absl::Seconds(55));
}

TEST_F(Stock, TargetsTakeNoMoreRoomThanTheBrokerGivesThem) {
  Start();
  const size_t large = SessionShared::kMaxTargetBytes / 4;
  const TargetId first = shared_->TakeTargetId(large);
  for (int i = 0; i < 3; ++i) EXPECT_NE(shared_->TakeTargetId(large), 0u);
  EXPECT_EQ(shared_->TakeTargetId(1), 0u);
  // The broker remembers it until another takes its place.
  shared_->GiveTargetId(first);
  EXPECT_EQ(shared_->TakeTargetId(large + 1), 0u);
  EXPECT_EQ(shared_->TakeTargetId(large - 300), first);
  EXPECT_NE(shared_->TakeTargetId(300), 0u);
  EXPECT_EQ(shared_->TakeTargetId(1), 0u);
}

}  // namespace
}  // namespace credbroker::client
