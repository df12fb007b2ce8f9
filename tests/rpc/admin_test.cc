#include "tests/rpc/rpc_fixture.h"

namespace credbroker::rpc {
namespace {

using AdminTest = RpcTest;

TEST_F(AdminTest, CreatesReadsUpdatesAndDeletes) {
  v1::Credential made;
  ASSERT_TRUE(Create("a", &made).ok());
  EXPECT_EQ(made.kind(), v1::CREDENTIAL_KIND_API_KEY);
  EXPECT_EQ(made.status().state(), v1::CREDENTIAL_STATE_AVAILABLE);
  EXPECT_FALSE(made.etag().empty());
  v1::UpdateCredentialRequest update;
  update.mutable_credential()->set_id("a");
  update.mutable_credential()->set_etag(made.etag());
  update.mutable_credential()->set_priority(7);
  update.mutable_credential()->set_note("not in the mask");
  update.mutable_update_mask()->add_paths("priority");
  v1::Credential updated;
  grpc::ClientContext c1, c2, c3, c4;
  const grpc::Status status = admin_->UpdateCredential(&c1, update, &updated);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(updated.priority(), 7);
  EXPECT_EQ(updated.note(), "");
  EXPECT_NE(updated.etag(), made.etag());
  const grpc::Status stale = admin_->UpdateCredential(&c2, update, &updated);
  EXPECT_EQ(stale.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(DetailsOf(stale).info.reason(), "ETAG_MISMATCH");
  v1::DeleteCredentialRequest remove;
  remove.set_id("a");
  v1::DeleteCredentialResponse removed;
  EXPECT_TRUE(admin_->DeleteCredential(&c3, remove, &removed).ok());
  EXPECT_FALSE(removed.batch_id().empty());
  v1::GetCredentialRequest get;
  get.set_id("a");
  EXPECT_EQ(admin_->GetCredential(&c4, get, &made).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(AdminTest, ShowsNoSecretOfProxyOrHeaders) {
  v1::CreateCredentialRequest request;
  request.mutable_credential()->set_id("a");
  request.mutable_credential()->set_provider("openai");
  request.mutable_credential()->set_proxy_url("http://user:canary@proxy:8080");
  (*request.mutable_credential()->mutable_headers())["X-Api-Key"] = "canary";
  (*request.mutable_credential()->mutable_headers())["X-Team"] = "blue";
  request.mutable_secret()->set_api_key("canary");
  v1::Credential made;
  grpc::ClientContext c1, c2, c3;
  ASSERT_TRUE(admin_->CreateCredential(&c1, request, &made).ok());
  EXPECT_EQ(made.SerializeAsString().find("canary"), std::string::npos);
  EXPECT_EQ(made.proxy_url(), "http://user:***@proxy:8080");
  EXPECT_EQ(made.headers().at("X-Team"), "blue");
  // What was shown, sent back, changes nothing.
  v1::UpdateCredentialRequest update;
  *update.mutable_credential() = made;
  update.mutable_update_mask()->add_paths("proxy_url");
  update.mutable_update_mask()->add_paths("headers");
  ASSERT_TRUE(admin_->UpdateCredential(&c2, update, &made).ok());
  const auto view = engine_->Get("a");
  EXPECT_EQ(view->document->proxy_url, "http://user:canary@proxy:8080");
  // A stored password does not follow to another host.
  update.mutable_credential()->set_etag("");
  update.mutable_credential()->set_proxy_url("http://user:***@elsewhere:8080");
  EXPECT_EQ(admin_->UpdateCredential(&c3, update, &made).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(AdminTest, DisablesAndEnables) {
  ASSERT_TRUE(Create("a").ok());
  v1::DisableRequest disable;
  disable.set_id("a");
  disable.set_reason("audit");
  v1::DisableResponse disabled;
  grpc::ClientContext c1, c2;
  ASSERT_TRUE(admin_->Disable(&c1, disable, &disabled).ok());
  EXPECT_EQ(disabled.credential().status().state(), v1::CREDENTIAL_STATE_DISABLED);
  v1::Grant grant;
  EXPECT_EQ(DetailsOf(Acquire(&grant)).info.reason(), "ALL_DISABLED");
  v1::EnableRequest enable;
  enable.set_id("a");
  v1::EnableResponse enabled;
  ASSERT_TRUE(admin_->Enable(&c2, enable, &enabled).ok());
  EXPECT_EQ(enabled.remaining_cause(), v1::CAUSE_UNSPECIFIED);
  EXPECT_TRUE(Acquire(&grant).ok());
}

TEST_F(AdminTest, ListsByPageWithCountsInBothOrders) {
  for (int i = 0; i < 25; ++i) ASSERT_TRUE(Create(absl::StrCat("c", 10 + i)).ok());
  for (const char* order : {"", "id desc", "priority desc"}) {
    v1::ListCredentialsRequest request;
    request.set_page_size(10);
    request.set_order_by(order);
    request.set_filter("id != c10");
    std::vector<std::string> ids;
    int pages = 0;
    do {
      v1::ListCredentialsResponse response;
      grpc::ClientContext context;
      SetDeadline(context);
      const grpc::Status status = admin_->ListCredentials(&context, request, &response);
      ASSERT_TRUE(status.ok()) << status.error_message();
      EXPECT_EQ(response.total_size(), 24);
      EXPECT_EQ(response.counts().available(), 24);
      for (const auto& credential : response.credentials()) ids.push_back(credential.id());
      request.set_page_token(response.next_page_token());
      ++pages;
    } while (!request.page_token().empty() && pages < 10);
    EXPECT_EQ(pages, 3) << order;
    ASSERT_EQ(ids.size(), 24u) << order;
    std::vector<std::string> sorted = ids;
    std::sort(sorted.begin(), sorted.end());
    if (std::string(order) == "id desc") std::reverse(sorted.begin(), sorted.end());
    EXPECT_EQ(ids, sorted) << order;
  }
}

TEST_F(AdminTest, ChangesABatchByFilterAndUndoesIt) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Create(absl::StrCat("c", i)).ok());
  v1::BatchUpdateRequest request;
  request.mutable_filter()->set_filter("provider = openai");
  request.mutable_filter()->set_expected_count(4);
  request.add_operations()->set_set_priority(9);
  v1::BatchUpdateResponse response;
  grpc::ClientContext c1, c2, c3;
  const grpc::Status wrong = admin_->BatchUpdate(&c1, request, &response);
  EXPECT_EQ(DetailsOf(wrong).info.reason(), "EXPECTED_COUNT_MISMATCH");
  EXPECT_EQ(engine_->Get("c0")->document->priority, 0);
  request.mutable_filter()->set_expected_count(5);
  ASSERT_TRUE(admin_->BatchUpdate(&c2, request, &response).ok());
  EXPECT_EQ(response.ok_count(), 5);
  EXPECT_EQ(engine_->Get("c0")->document->priority, 9);
  v1::UndoBatchRequest undo;
  undo.set_batch_id(response.batch_id());
  v1::UndoBatchResponse undone;
  ASSERT_TRUE(admin_->UndoBatch(&c3, undo, &undone).ok());
  EXPECT_EQ(undone.ok_count(), 5);
  EXPECT_EQ(engine_->Get("c0")->document->priority, 0);
}

TEST_F(AdminTest, ExplainsStatesAndTestsThePolicy) {
  ASSERT_TRUE(Create("a").ok());
  v1::ExplainRequest explain;
  explain.mutable_acquire()->add_providers("openai");
  v1::ExplainResponse why;
  grpc::ClientContext c1, c2, c3, c4;
  ASSERT_TRUE(admin_->Explain(&c1, explain, &why).ok());
  EXPECT_EQ(why.chosen_credential_id(), "a");
  EXPECT_EQ(why.total_size(), 1);
  v1::GetStatsResponse stats;
  ASSERT_TRUE(admin_->GetStats(&c2, {}, &stats).ok());
  EXPECT_EQ(stats.totals().available(), 1);
  v1::TestPolicyRequest policy;
  policy.set_provider("openai");
  policy.set_http_status(429);
  v1::TestPolicyResponse verdict;
  ASSERT_TRUE(admin_->TestPolicy(&c3, policy, &verdict).ok());
  EXPECT_EQ(verdict.outcome(), v1::OUTCOME_RATE_LIMITED);
  EXPECT_EQ(verdict.action(), v1::FAILURE_ACTION_WAIT);
  v1::ResetAvailabilityRequest reset;
  reset.set_id("a");
  v1::ResetAvailabilityResponse done;
  EXPECT_TRUE(admin_->ResetAvailability(&c4, reset, &done).ok());
}

TEST_F(AdminTest, WatchesFromTheStartAndSeesAChange) {
  ASSERT_TRUE(Create("a").ok());
  engine_->Drain();  // a watch is told the changes that were not told yet as well
  v1::WatchCredentialsRequest request;
  request.set_send_initial(true);
  grpc::ClientContext context;
  SetDeadline(context);
  auto reader = admin_->WatchCredentials(&context, request);
  v1::WatchCredentialsResponse event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.event(), v1::WATCH_EVENT_INITIAL);
  EXPECT_EQ(event.credential().id(), "a");
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.event(), v1::WATCH_EVENT_SYNCED);
  ASSERT_TRUE(Create("b").ok());
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.event(), v1::WATCH_EVENT_CHANGED);
  EXPECT_EQ(event.credential().id(), "b");
  context.TryCancel();
  while (reader->Read(&event)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(AdminTest, AWatchGoesOnFromItsCursor) {
  ASSERT_TRUE(Create("a").ok());
  engine_->Drain();  // a watch is told the changes that were not told yet as well
  v1::WatchCredentialsRequest request;
  request.set_send_initial(true);
  v1::WatchCredentialsResponse event;
  grpc::Status status;
  // The last of the events up to the first that `enough` says is enough.
  const auto read_until = [&](absl::FunctionRef<bool()> enough) {
    grpc::ClientContext context;
    SetDeadline(context);
    auto reader = admin_->WatchCredentials(&context, request);
    bool open = reader->Read(&event);
    while (open && !enough()) open = reader->Read(&event);
    if (open) context.TryCancel();
    v1::WatchCredentialsResponse rest;
    while (reader->Read(&rest)) {
    }
    status = reader->Finish();
  };
  read_until([&] { return event.event() == v1::WATCH_EVENT_SYNCED; });
  ASSERT_FALSE(event.cursor().empty());
  ASSERT_TRUE(Create("b").ok());
  ASSERT_TRUE(Create("c").ok());
  request.set_send_initial(false);
  request.set_cursor(event.cursor());
  // A creation is more than one change.
  std::vector<v1::WatchCredentialsResponse> changes;
  read_until([&] {
    if (event.event() == v1::WATCH_EVENT_CHANGED) changes.push_back(event);
    return event.credential().id() == "c";
  });
  ASSERT_GE(changes.size(), 2u);
  EXPECT_EQ(changes.front().credential().id(), "b");
  request.set_cursor(changes.front().cursor());
  read_until([&] { return event.event() == v1::WATCH_EVENT_CHANGED; });
  EXPECT_EQ(event.cursor(), changes[1].cursor());
  EXPECT_EQ(event.credential().id(), changes[1].credential().id());
  const std::string known = changes.front().cursor();
  // Of another run of the broker.
  request.set_cursor("999." + known.substr(known.find('.') + 1));
  read_until([&] { return event.event() == v1::WATCH_EVENT_CHANGED; });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(DetailsOf(status).info.reason(), "CURSOR_EXPIRED");
}

TEST_F(AdminTest, AnUndeclaredLabelIsRefusedByName) {
  v1::CreateCredentialRequest request;
  request.mutable_credential()->set_id("a");
  request.mutable_credential()->set_provider("openai");
  (*request.mutable_credential()->mutable_labels())["colour"] = "red";
  request.mutable_secret()->set_api_key("sk");
  v1::Credential made;
  grpc::ClientContext context;
  const grpc::Status status = admin_->CreateCredential(&context, request, &made);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  ASSERT_EQ(DetailsOf(status).bad.field_violations_size(), 1);
  EXPECT_EQ(DetailsOf(status).bad.field_violations(0).field(), "labels.colour");
}

TEST_F(AdminTest, ExportsEveryCredentialOnce) {
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(Create(absl::StrCat("c", 1000 + i)).ok());
  grpc::ClientContext context;
  SetDeadline(context);
  auto reader = admin_->ExportCredentials(&context, {});
  v1::ExportCredentialsResponse file;
  int files = 0;
  while (reader->Read(&file)) ++files;
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(files, 300);
}

}  // namespace
}  // namespace credbroker::rpc
