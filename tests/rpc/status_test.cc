#include "server/rpc/status.h"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace credbroker::rpc {
namespace {

TEST(Status, EveryReasonHasACodeOfItsOwnKind) {
  const auto* reasons = v1::ErrorReason_descriptor();
  for (int i = 0; i < reasons->value_count(); ++i) {
    const auto reason = static_cast<v1::ErrorReason>(reasons->value(i)->number());
    EXPECT_NE(CodeOf(reason), grpc::StatusCode::OK) << reasons->value(i)->name();
    if (reason == v1::ERROR_REASON_UNSPECIFIED) continue;
    EXPECT_NE(CodeOf(reason), grpc::StatusCode::INTERNAL) << reasons->value(i)->name();
  }
  EXPECT_EQ(CodeOf(v1::ERROR_REASON_CREDENTIAL_EXISTS), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(CodeOf(v1::ERROR_REASON_COOLING), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(CodeOf(v1::ERROR_REASON_ETAG_MISMATCH), grpc::StatusCode::ABORTED);
}

TEST(Status, AnEngineMessageThatNamesAFieldBecomesAViolation) {
  const grpc::Status status =
      FromAbsl(absl::InvalidArgumentError("labels.tier: not declared in the configuration"));
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  google::rpc::BadRequest bad;
  ASSERT_TRUE(details.details(1).UnpackTo(&bad));
  EXPECT_EQ(bad.field_violations(0).field(), "labels.tier");
}

TEST(Status, WhatIsWrongInsideIsNotShown) {
  const grpc::Status status = FromAbsl(absl::InternalError("key 4711 at /var/lib"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(status.error_message().find("4711"), std::string::npos);
}

}  // namespace
}  // namespace credbroker::rpc
