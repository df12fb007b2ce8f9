#include "tests/client/session_fixture.h"

namespace credbroker::client {
namespace {

class Revocation : public SessionTest {};

TEST_F(Revocation, TakesTheCredentialOutOfStockAndIsAcknowledged) {
  broker_.Add("b");
  Start();
  const TargetId target = DeclareStock(8);
  const uint64_t number = broker_.Revoke("a", v1::SESSION_REVOCATION_REASON_COOLING);
  broker_.RefuseStock("COOLING");  // nothing new comes
  Settle();
  EXPECT_EQ(broker_.acknowledged(), number);
  EXPECT_EQ(InStock(), 4);
  while (std::optional<Lease> lease = shared_->TakeStock(target)) {
    EXPECT_EQ(lease->credential_id(), "b");
  }
  ASSERT_EQ(revoked_.size(), 1);
  EXPECT_EQ(revoked_[0].credential_id, "a");
  EXPECT_EQ(revoked_[0].dropped, 4);
  EXPECT_EQ(revoked_[0].cause, v1::CAUSE_RATE_LIMITED);
  EXPECT_TRUE(revoked_[0].cancel.empty());
}

TEST_F(Revocation, IsAcknowledgedOnlyAfterTheStockWasTakenOut) {
  Start();
  DeclareStock(8);
  uint64_t in_stock = 99;
  broker_.OnAcknowledged([&](uint64_t) { in_stock = InStock(); });
  broker_.Revoke("a", v1::SESSION_REVOCATION_REASON_DISABLED);
  Settle();
  EXPECT_EQ(in_stock, 0);
}

TEST_F(Revocation, ReturnsWhatItTookOutAndLetsCallsUnderWayEnd) {
  Start();
  const TargetId target = DeclareStock(8);
  std::optional<Lease> held = shared_->TakeStock(target);
  broker_.Revoke("a", v1::SESSION_REVOCATION_REASON_COOLING);
  Pass(absl::Seconds(1));
  EXPECT_FALSE(held->revoked());
  EXPECT_EQ(broker_.leases().size(), 1);
  held->ReportSuccess();
  Pass(absl::Seconds(1));
  EXPECT_EQ(broker_.succeeded().size(), 1);
}

TEST_F(Revocation, OfADeletedCredentialFlagsItsLeasesInUse) {
  Start();
  const TargetId target = DeclareStock(8);
  std::optional<Lease> held = shared_->TakeStock(target);
  broker_.Revoke("a", v1::SESSION_REVOCATION_REASON_DELETED);
  Settle();
  EXPECT_TRUE(held->revoked());
  EXPECT_EQ(held->revoke_reason(), v1::SESSION_REVOCATION_REASON_DELETED);
  EXPECT_THAT(revoked_[0].cancel, testing::ElementsAre(held->local_id()));
}

TEST_F(Revocation, OfOneLeaseConcernsThatLeaseAlone) {
  Start();
  const TargetId target = DeclareStock(0, 0);
  Lease one = TakeDirect(target);
  const uint64_t number = broker_.last_lease();
  Lease two = TakeDirect(target);
  broker_.EndLease(number);
  Settle();
  EXPECT_TRUE(one.revoked());
  EXPECT_FALSE(two.revoked());
  EXPECT_EQ(revoked_[0].credential_id, "a");
}

TEST_F(Revocation, OfOneModelLeavesTheOthers) {
  Start();
  Target target;
  target.stock = {.max = 4, .initial = 4};
  target.model = "small";
  const TargetId small = Declare(target);
  target.model = "large";
  const TargetId large = Declare(target);
  broker_.Revoke("a", v1::SESSION_REVOCATION_REASON_COOLING, "small");
  broker_.RefuseStock("COOLING");
  Settle();
  EXPECT_FALSE(shared_->TakeStock(small).has_value());
  EXPECT_TRUE(shared_->TakeStock(large).has_value());
}

TEST_F(Revocation, AlsoHoldsForStockThatItOvertook) {
  Start();
  const TargetId target = DeclareStock(0);
  // Granted, but on its way behind the revocation.
  TakeDirect(target).Release();
  const uint64_t order = broker_.last_order() + 5;
  v1::SessionResponse revocation;
  revocation.add_revocations()->set_number(1);
  revocation.mutable_revocations(0)->set_credential(1);
  revocation.mutable_revocations(0)->set_covers(order);
  revocation.mutable_revocations(0)->set_reason(v1::SESSION_REVOCATION_REASON_COOLING);
  v1::SessionResponse stock;
  stock.add_stocks()->set_target(target);
  stock.mutable_stocks(0)->add_leases(777);
  stock.mutable_stocks(0)->add_credentials(1);
  stock.mutable_stocks(0)->set_order(order);
  ToWire(absl::FromUnixSeconds(FakeBroker::kStartSeconds),
         stock.mutable_stocks(0)->mutable_grant_time());
  ToWire(absl::FromUnixSeconds(FakeBroker::kStartSeconds + 120),
         stock.mutable_stocks(0)->mutable_expire_time());
  broker_.Send(revocation);
  broker_.Send(stock);
  broker_.TakeWritten();
  Settle();
  EXPECT_EQ(InStock(), 0);
  Pass(absl::Seconds(1));
  std::vector<uint64_t> released;
  for (const auto& request : broker_.TakeWritten()) {
    released.insert(released.end(), request.released_leases().begin(),
                    request.released_leases().end());
  }
  EXPECT_THAT(released, testing::Contains(777));
  // One that was granted later is fine.
  stock.mutable_stocks(0)->set_leases(0, 778);
  stock.mutable_stocks(0)->set_order(order + 1);
  broker_.Send(stock);
  Settle();
  EXPECT_EQ(InStock(), 1);
}

TEST_F(Revocation, OfAGrantOnItsWayAsksAgain) {
  broker_.Add("b");
  Start();
  const TargetId target = DeclareStock(0, 0);
  TakeDirect(target).Release();  // "a" has an index
  TakeDirect(target).Release();  // the next is "a" again
  broker_.SetAnswering(false);
  auto answer = Ask(target);
  // Not merged with the grant but before it.
  v1::SessionResponse revocation;
  revocation.add_revocations()->set_number(1);
  revocation.mutable_revocations(0)->set_credential(1);
  revocation.mutable_revocations(0)->set_covers(broker_.last_order());
  revocation.mutable_revocations(0)->set_reason(v1::SESSION_REVOCATION_REASON_DISABLED);
  broker_.Send(revocation);
  broker_.Add("a", {.available = false});
  broker_.SetAnswering(true);
  Settle();
  ASSERT_TRUE(answer->answered());
  ASSERT_TRUE(answer->result->ok());
  EXPECT_EQ(answer->lease().credential_id(), "b");
}

TEST_F(Revocation, IsForgottenWithTheSessionItBelongedTo) {
  Start();
  const TargetId target = DeclareStock(8);
  broker_.Revoke("a", v1::SESSION_REVOCATION_REASON_COOLING);
  Settle();
  EXPECT_EQ(InStock(), 0);
  // A broker that restarted counts its orders anew, below what was revoked.
  broker_.Restart();
  broker_.Break();
  broker_.Renew("a");
  const size_t released = broker_.released();
  Pass(absl::Seconds(1));
  shared_->TakeStock(target);  // wakes the stock, if nobody did
  Pass(absl::Seconds(1));
  EXPECT_GT(InStock(), 0);
  // None of it was taken for something that was revoked.
  EXPECT_LE(broker_.released(), released + 1);
}

}  // namespace
}  // namespace credbroker::client
