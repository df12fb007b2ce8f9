#include "server/session/outbox.h"

#include <gtest/gtest.h>

namespace credbroker::session {
namespace {

v1::SessionRevocation Of(uint32_t credential, uint64_t covers, const std::string& model = "") {
  v1::SessionRevocation revocation;
  revocation.set_credential(credential);
  revocation.set_covers(covers);
  revocation.set_model(model);
  return revocation;
}

TEST(Outbox, HasNothingToSayAtFirst) {
  Outbox outbox;
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.Take(), nullptr);
}

TEST(Outbox, CutsMessagesSoThatNoneIsTooLargeForAClient) {
  Outbox outbox;
  for (int i = 0; i < 100; ++i) outbox.Tail(10'000).add_credentials()->set_credential(1);
  size_t messages = 0;
  int credentials = 0;
  while (auto message = outbox.Take()) {
    ++messages;
    credentials += message->credentials_size();
    EXPECT_LE(message->credentials_size(), 26);
  }
  EXPECT_EQ(credentials, 100);
  EXPECT_EQ(messages, 4u);
  EXPECT_EQ(outbox.bytes(), 0u);
}

TEST(Outbox, TheNewestRevocationOfACredentialAndModelStandsForThoseBefore) {
  Outbox outbox;
  ASSERT_TRUE(outbox.Revoke(Of(1, 10)));
  ASSERT_TRUE(outbox.Revoke(Of(2, 11)));
  ASSERT_TRUE(outbox.Revoke(Of(1, 12)));
  ASSERT_TRUE(outbox.Revoke(Of(1, 13, "m")));
  EXPECT_EQ(outbox.newest_revocation(), 4u);
  const auto message = outbox.Take();
  ASSERT_EQ(message->revocations_size(), 3);
  EXPECT_EQ(message->revocations(0).number(), 2u);
  EXPECT_EQ(message->revocations(1).number(), 3u);
  EXPECT_EQ(message->revocations(1).covers(), 12u);
  EXPECT_EQ(message->revocations(2).model(), "m");
}

TEST(Outbox, ARevocationThatComesLateTakesNothingBack) {
  Outbox outbox;
  ASSERT_TRUE(outbox.Revoke(Of(1, 12)));
  ASSERT_TRUE(outbox.Revoke(Of(1, 10)));
  v1::SessionRevocation deleted = Of(2, 20);
  deleted.set_reason(v1::SESSION_REVOCATION_REASON_DELETED);
  ASSERT_TRUE(outbox.Revoke(std::move(deleted)));
  ASSERT_TRUE(outbox.Revoke(Of(2, 21)));
  const auto message = outbox.Take();
  ASSERT_EQ(message->revocations_size(), 2);
  EXPECT_EQ(message->revocations(0).covers(), 12u);
  EXPECT_EQ(message->revocations(1).covers(), 21u);
  EXPECT_EQ(message->revocations(1).reason(), v1::SESSION_REVOCATION_REASON_DELETED);
}

TEST(Outbox, WhatIsOnlyToldAgainHoldsNoRevocationBack) {
  Outbox outbox;
  outbox.Tail(10).add_credentials()->set_credential(1);
  ASSERT_NE(outbox.Take(), nullptr);
  outbox.Tail(10).add_credentials()->set_credential(2);
  outbox.Tail(300'000).add_credentials()->set_credential(1);
  ASSERT_TRUE(outbox.Revoke(Of(1, 10)));
  ASSERT_TRUE(outbox.Revoke(Of(2, 11)));
  EXPECT_EQ(outbox.Take()->revocations_size(), 2);
}

TEST(Outbox, ARevocationWaitsForTheAnnouncementOfItsCredential) {
  Outbox outbox;
  outbox.Tail(10).add_credentials()->set_credential(1);
  outbox.Tail(300'000).add_credentials()->set_credential(2);
  outbox.Tail(300'000).add_credentials()->set_credential(3);
  ASSERT_TRUE(outbox.Revoke(Of(1, 10)));
  ASSERT_TRUE(outbox.Revoke(Of(2, 11)));
  ASSERT_TRUE(outbox.Revoke(Of(1, 12, "m")));
  const auto first = outbox.Take();
  ASSERT_EQ(first->revocations_size(), 1);
  EXPECT_EQ(first->revocations(0).credential(), 1u);
  const auto second = outbox.Take();
  EXPECT_EQ(second->credentials(0).credential(), 2u);
  ASSERT_EQ(second->revocations_size(), 2);
  EXPECT_EQ(second->revocations(0).number(), 2u);
  EXPECT_EQ(second->revocations(1).model(), "m");
  EXPECT_EQ(outbox.Take()->revocations_size(), 0);
  EXPECT_TRUE(outbox.empty());
}

TEST(Outbox, ManyRevocationsWaitForAnAnnouncementToo) {
  Outbox outbox;
  outbox.Tail(10).add_credentials()->set_credential(1);
  for (uint32_t i = 1; i <= 20'000; ++i) ASSERT_TRUE(outbox.Revoke(Of(i, 1)));
  const auto first = outbox.Take();
  EXPECT_EQ(first->credentials_size(), 1);
  EXPECT_EQ(first->revocations_size(), 8'192);
  uint64_t newest = 0;
  for (const auto& revocation : first->revocations()) newest = revocation.number();
  EXPECT_EQ(newest, 8'192u);
  EXPECT_EQ(outbox.Take()->revocations(0).number(), 8'193u);
}

TEST(Outbox, RevocationsGoOutWithTheFirstMessageAheadOfItsGrants) {
  Outbox outbox;
  outbox.Tail(10).add_grants()->set_call(1);
  outbox.Tail(300'000).add_grants()->set_call(2);
  ASSERT_TRUE(outbox.Revoke(Of(1, 10)));
  const auto first = outbox.Take();
  EXPECT_EQ(first->revocations_size(), 1);
  EXPECT_EQ(first->grants_size(), 1);
  EXPECT_EQ(outbox.Take()->revocations_size(), 0);
}

TEST(Outbox, AReaderThatIsBehindCostsOneEntryForEachCredential) {
  Outbox outbox;
  for (uint64_t i = 0; i < 1'000'000; ++i) ASSERT_TRUE(outbox.Revoke(Of(1 + i % 10, i)));
  EXPECT_EQ(outbox.revocations(), 10u);
  const auto message = outbox.Take();
  ASSERT_EQ(message->revocations_size(), 10);
  EXPECT_EQ(message->revocations(9).number(), 1'000'000u);
  EXPECT_TRUE(outbox.empty());
}

TEST(Outbox, RefusesMoreRevocationsThanItKeeps) {
  Outbox outbox;
  bool room = true;
  uint32_t credential = 0;
  while (room && credential < 200'000) room = outbox.Revoke(Of(++credential, 1));
  EXPECT_EQ(credential, Outbox::kMaxRevocations + 1);
}

TEST(Outbox, ManyRevocationsTakeSeveralMessagesAheadOfAnyGrant) {
  Outbox outbox;
  outbox.Tail(10).add_grants()->set_call(1);
  for (uint32_t i = 1; i <= 20'000; ++i) ASSERT_TRUE(outbox.Revoke(Of(i, 1)));
  int revocations = 0;
  while (auto message = outbox.Take()) {
    EXPECT_EQ(message->grants_size() != 0, revocations + message->revocations_size() == 20'000);
    revocations += message->revocations_size();
  }
  EXPECT_EQ(revocations, 20'000);
}

}  // namespace
}  // namespace credbroker::session
