// Every bad request is INVALID_ARGUMENT (or what its field says) and names the field.
#include <functional>

#include <grpcpp/generic/generic_stub.h>

#include "tests/rpc/rpc_fixture.h"

namespace credbroker::rpc {
namespace {

class BadInputTest : public RpcTest {
 protected:
  void ExpectField(const grpc::Status& status, const std::string& field, const std::string& label) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << label << ": " << status.error_message();
    const Details details = DetailsOf(status);
    ASSERT_GT(details.bad.field_violations_size(), 0) << label;
    bool named = false;
    for (const auto& violation : details.bad.field_violations()) {
      named |= violation.field() == field;
    }
    EXPECT_TRUE(named) << label << " names " << details.bad.field_violations(0).field();
  }
};

std::string Long(size_t size) { return std::string(size, 'x'); }

TEST_F(BadInputTest, AcquireNamesItsFields) {
  struct Row {
    const char* field;
    std::function<void(v1::AcquireRequest&)> spoil;
  };
  const Row rows[] = {
      {"providers", [](auto& r) { r.clear_providers(); }},
      {"providers",
       [](auto& r) {
         for (int i = 0; i < 16; ++i) r.add_providers(Long(5));
       }},
      {"providers", [](auto& r) { r.add_providers("openai"); }},
      {"providers", [](auto& r) { r.add_providers("Not Lower"); }},
      {"providers[1]", [](auto& r) { r.add_providers(""); }},
      {"group", [](auto& r) { r.set_group(Long(65)); }},
      {"group", [](auto& r) { r.set_group("UPPER"); }},
      {"model", [](auto& r) { r.set_model(Long(257)); }},
      {"model", [](auto& r) { r.set_model("a\nb"); }},
      {"session_key", [](auto& r) { r.set_session_key(Long(257)); }},
      {"credential_id", [](auto& r) { r.set_credential_id(Long(257)); }},
      {"excluded_credential_ids",
       [](auto& r) {
         for (int i = 0; i < 65; ++i) r.add_excluded_credential_ids("x");
       }},
      {"kind", [](auto& r) { r.set_kind(static_cast<v1::CredentialKind>(99)); }},
      {"labels", [](auto& r) { (*r.mutable_labels())["k"] = Long(65); }},
      {"labels",
       [](auto& r) {
         for (int i = 0; i < 9; ++i) (*r.mutable_labels())[Long(1 + i)] = "";
       }},
      {"request_id", [](auto& r) { r.set_request_id(Long(129)); }},
      {"ttl", [](auto& r) { r.mutable_ttl()->set_seconds(0); }},
      {"ttl", [](auto& r) { r.mutable_ttl()->set_seconds(-1); }},
      {"ttl", [](auto& r) { r.mutable_ttl()->set_seconds(3601); }},
      {"ttl", [](auto& r) { r.mutable_ttl()->set_seconds(INT64_MAX); }},
      {"ttl", [](auto& r) { r.mutable_ttl()->set_nanos(2'000'000'000); }},
      {"max_wait", [](auto& r) { r.mutable_max_wait()->set_seconds(61); }},
      {"max_wait", [](auto& r) { r.mutable_max_wait()->set_seconds(-1); }},
  };
  int number = 0;
  for (const Row& row : rows) {
    v1::AcquireRequest request;
    request.add_providers("openai");
    row.spoil(request);
    v1::Grant grant;
    grpc::ClientContext context;
    SetDeadline(context);
    ExpectField(broker_->Acquire(&context, request, &grant), row.field,
                absl::StrCat("row ", number++, " ", row.field));
  }
}

TEST_F(BadInputTest, ReportNamesItemAndField) {
  struct Row {
    const char* field;
    std::function<void(v1::ReportRequest&)> spoil;
  };
  const Row rows[] = {
      {"items", [](auto& r) { r.clear_items(); }},
      {"items",
       [](auto& r) {
         for (int i = 0; i < 256; ++i) *r.add_items() = r.items(0);
       }},
      {"items[0].lease_id", [](auto& r) { r.mutable_items(0)->clear_lease_id(); }},
      {"items[0].lease_id", [](auto& r) { r.mutable_items(0)->set_lease_id(Long(513)); }},
      {"items[0].http_status", [](auto& r) { r.mutable_items(0)->set_http_status(99); }},
      {"items[0].http_status", [](auto& r) { r.mutable_items(0)->set_http_status(600); }},
      {"items[0].http_status", [](auto& r) { r.mutable_items(0)->set_http_status(-1); }},
      {"items[0].outcome", [](auto& r) { r.mutable_items(0)->set_http_status(0); }},
      {"items[0].outcome",
       [](auto& r) { r.mutable_items(0)->set_outcome(static_cast<v1::Outcome>(77)); }},
      {"items[0].error_code", [](auto& r) { r.mutable_items(0)->set_error_code(Long(129)); }},
      {"items[0].body_excerpt", [](auto& r) { r.mutable_items(0)->set_body_excerpt(Long(4097)); }},
      {"items[0].material_version", [](auto& r) { r.mutable_items(0)->set_material_version(-1); }},
      {"items[0].event_time",
       [](auto& r) { r.mutable_items(0)->mutable_event_time()->set_nanos(-1); }},
      {"items[0].headers[0].name",
       [](auto& r) { r.mutable_items(0)->add_headers()->set_name("a b"); }},
      {"items[0].headers[0].value",
       [](auto& r) {
         auto* header = r.mutable_items(0)->add_headers();
         header->set_name("a");
         header->set_value("x\r\ny");
       }},
      {"items[0].headers",
       [](auto& r) {
         for (int i = 0; i < 129; ++i) r.mutable_items(0)->add_headers()->set_name("a");
       }},
      {"items[1].lease_id", [](auto& r) { r.add_items()->set_http_status(200); }},
  };
  for (const Row& row : rows) {
    v1::ReportRequest request;
    request.add_items()->set_lease_id("lease");
    request.mutable_items(0)->set_http_status(200);
    row.spoil(request);
    v1::ReportResponse response;
    grpc::ClientContext context;
    SetDeadline(context);
    ExpectField(broker_->Report(&context, request, &response), row.field, row.field);
  }
}

TEST_F(BadInputTest, CreateNamesItsFields) {
  struct Row {
    const char* field;
    std::function<void(v1::CreateCredentialRequest&)> spoil;
  };
  const Row rows[] = {
      {"credential.id", [](auto& r) { r.mutable_credential()->clear_id(); }},
      {"credential.id", [](auto& r) { r.mutable_credential()->set_id(Long(257)); }},
      {"credential.id", [](auto& r) { r.mutable_credential()->set_id("/a"); }},
      {"credential.id", [](auto& r) { r.mutable_credential()->set_id("a//b"); }},
      {"credential.id", [](auto& r) { r.mutable_credential()->set_id("a\tb"); }},
      {"credential.provider", [](auto& r) { r.mutable_credential()->clear_provider(); }},
      {"credential.label", [](auto& r) { r.mutable_credential()->set_label(Long(257)); }},
      {"credential.email", [](auto& r) { r.mutable_credential()->set_email(Long(321)); }},
      {"credential.note", [](auto& r) { r.mutable_credential()->set_note(Long(1025)); }},
      {"credential.priority", [](auto& r) { r.mutable_credential()->set_priority(1'000'001); }},
      {"credential.weight", [](auto& r) { r.mutable_credential()->set_weight(1'000'001); }},
      {"credential.prefix", [](auto& r) { r.mutable_credential()->set_prefix("a/b"); }},
      {"credential.proxy_url", [](auto& r) { r.mutable_credential()->set_proxy_url("ftp://x"); }},
      {"credential.proxy_url", [](auto& r) { r.mutable_credential()->set_proxy_url("http://"); }},
      {"credential.base_url", [](auto& r) { r.mutable_credential()->set_base_url("nowhere"); }},
      {"credential.max_in_flight", [](auto& r) { r.mutable_credential()->set_max_in_flight(-1); }},
      {"credential.request_retry", [](auto& r) { r.mutable_credential()->set_request_retry(101); }},
      {"credential.refresh_interval",
       [](auto& r) { r.mutable_credential()->mutable_refresh_interval()->set_seconds(1); }},
      {"credential.headers",
       [](auto& r) { (*r.mutable_credential()->mutable_headers())["a"] = "x\r\n"; }},
      {"credential.models", [](auto& r) { r.mutable_credential()->add_models(""); }},
      {"credential.model_aliases",
       [](auto& r) { r.mutable_credential()->add_model_aliases()->set_alias("a"); }},
      {"credential.labels",
       [](auto& r) { (*r.mutable_credential()->mutable_labels())["UP"] = "x"; }},
      {"secret", [](auto& r) { r.clear_secret(); }},
      {"secret.api_key", [](auto& r) { r.mutable_secret()->set_api_key("sk\n"); }},
      {"request_id", [](auto& r) { r.set_request_id(Long(129)); }},
  };
  for (const Row& row : rows) {
    v1::CreateCredentialRequest request;
    request.mutable_credential()->set_id("a");
    request.mutable_credential()->set_provider("openai");
    request.mutable_secret()->set_api_key("sk");
    row.spoil(request);
    v1::Credential made;
    grpc::ClientContext context;
    SetDeadline(context);
    ExpectField(admin_->CreateCredential(&context, request, &made), row.field, row.field);
    EXPECT_EQ(engine_->Stats().pool.credentials, 0u) << row.field;
  }
}

TEST_F(BadInputTest, ListBatchAndUpdateNameTheirFields) {
  ASSERT_TRUE(Create("a").ok());
  v1::ListCredentialsResponse list;
  const auto expect_list = [&](const char* field, auto spoil) {
    v1::ListCredentialsRequest request;
    spoil(request);
    grpc::ClientContext context;
    SetDeadline(context);
    ExpectField(admin_->ListCredentials(&context, request, &list), field, field);
  };
  expect_list("page_size", [](auto& r) { r.set_page_size(-1); });
  expect_list("page_size", [](auto& r) { r.set_page_size(1001); });
  expect_list("page_token", [](auto& r) { r.set_page_token("bogus"); });
  expect_list("filter", [](auto& r) { r.set_filter("what is this"); });
  expect_list("filter", [](auto& r) { r.set_filter(Long(4097)); });
  expect_list("order_by", [](auto& r) { r.set_order_by("email"); });
  expect_list("state", [](auto& r) { r.set_state(static_cast<v1::StateFilter>(9)); });

  v1::BatchUpdateResponse batch;
  const auto expect_batch = [&](const char* field, auto spoil) {
    v1::BatchUpdateRequest request;
    request.mutable_ids()->add_ids("a");
    request.add_operations()->set_set_priority(1);
    spoil(request);
    grpc::ClientContext context;
    SetDeadline(context);
    ExpectField(admin_->BatchUpdate(&context, request, &batch), field, field);
    EXPECT_EQ(engine_->Get("a")->document->priority, 0) << field;
  };
  expect_batch("selection", [](auto& r) { r.clear_ids(); });
  expect_batch("ids.ids", [](auto& r) { r.mutable_ids()->clear_ids(); });
  expect_batch("filter.expected_count", [](auto& r) { r.mutable_filter()->set_filter("id = a"); });
  expect_batch("filter.filter", [](auto& r) {
    r.mutable_filter()->set_filter("state = waiting");
    r.mutable_filter()->set_expected_count(1);
  });
  expect_batch("operations", [](auto& r) { r.clear_operations(); });
  expect_batch("operations[1]", [](auto& r) { r.add_operations()->set_set_priority(2); });
  expect_batch("operations", [](auto& r) { r.add_operations()->mutable_delete_(); });
  expect_batch("operations[0].set_priority",
               [](auto& r) { r.mutable_operations(0)->set_set_priority(INT32_MAX); });

  v1::Credential updated;
  for (const char* path : {"*", "id", "status", "labels.", "no_such"}) {
    v1::UpdateCredentialRequest request;
    request.mutable_credential()->set_id("a");
    request.mutable_update_mask()->add_paths(path);
    grpc::ClientContext context;
    SetDeadline(context);
    ExpectField(admin_->UpdateCredential(&context, request, &updated), "update_mask", path);
  }
}

TEST_F(BadInputTest, MalformedBytesAndBadUtf8AreInvalidArgument) {
  grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub(channel_);
  const auto call = [&](const std::string& bytes) {
    grpc::CompletionQueue queue;
    grpc::ClientContext context;
    SetDeadline(context);
    grpc::Slice slice(bytes);
    grpc::ByteBuffer request(&slice, 1), response;
    grpc::Status status;
    auto reader =
        stub.PrepareUnaryCall(&context, "/credbroker.v1.BrokerService/Acquire", request, &queue);
    reader->StartCall();
    reader->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    return status;
  };
  // Field 3 (model), length 2, no UTF-8.
  ExpectField(call(std::string("\x12\x06openai\x1a\x02\xff\xfe", 12)), "model", "UTF-8");
  EXPECT_EQ(call("\x0a\x7f").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(BadInputTest, UnknownIdsAreNotFound) {
  v1::GetCredentialRequest get;
  get.set_id("nobody");
  v1::Credential credential;
  grpc::ClientContext c1, c2, c3;
  EXPECT_EQ(DetailsOf(admin_->GetCredential(&c1, get, &credential)).info.reason(),
            "NO_SUCH_CREDENTIAL");
  v1::UndoBatchRequest undo;
  undo.set_batch_id("nothing");
  v1::UndoBatchResponse undone;
  EXPECT_EQ(DetailsOf(admin_->UndoBatch(&c2, undo, &undone)).info.reason(), "NO_SUCH_BATCH");
  v1::AcquireRequest acquire;
  acquire.add_providers("openai");
  acquire.set_group("nogroup");
  v1::Grant grant;
  EXPECT_EQ(broker_->Acquire(&c3, acquire, &grant).error_code(), grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace credbroker::rpc
