// Walks the descriptors of everything we define and proves where secrets may be: marked as such,
// in bytes, and in no response but a Grant. See credbroker/v1/options.proto.
#include <cstddef>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "credbroker/config/v1/config.pb.h"
#include "credbroker/config/v1/provider.pb.h"
#include "credbroker/store/v1/records.pb.h"
#include "credbroker/v1/admin.pb.h"
#include "credbroker/v1/broker.pb.h"
#include "credbroker/v1/options.pb.h"
#include "credbroker/v1/types.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.pb.h"
#include "gtest/gtest.h"

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

// broker.proto has a service and no message: its table links it in.
const FileDescriptor* BrokerFile() {
  return google::protobuf::DescriptorPool::generated_pool()->FindFileByName(
      descriptor_table_credbroker_2fv1_2fbroker_2eproto.filename);
}

// Naming a type of each file links it in, whatever the linker thinks of unused ones.
const std::vector<const FileDescriptor*>& ApiFiles() {
  static const auto* const files = new std::vector<const FileDescriptor*>{
      credbroker::v1::Header::descriptor()->file(),
      credbroker::v1::Credential::descriptor()->file(),
      credbroker::v1::Grant::descriptor()->file(),
      credbroker::v1::SessionRequest::descriptor()->file(),
      credbroker::v1::BatchOperation::descriptor()->file(),
      credbroker::v1::ImportFile::descriptor()->file(),
      credbroker::v1::TestPolicyRequest::descriptor()->file(),
      credbroker::v1::WatchCredentialsRequest::descriptor()->file(),
      credbroker::v1::ListCredentialsRequest::descriptor()->file(),
      BrokerFile(),
  };
  return *files;
}

const std::vector<const FileDescriptor*>& StoreFiles() {
  static const auto* const files =
      new std::vector<const FileDescriptor*>{credbroker::store::v1::Envelope::descriptor()->file()};
  return *files;
}

bool IsSensitive(const FieldDescriptor& field) {
  return field.options().GetExtension(credbroker::v1::sensitive);
}

bool IsRedacted(const FieldDescriptor& field) {
  return field.options().GetExtension(credbroker::v1::redacted);
}

// The type that counts: of a map, that of its values.
FieldDescriptor::Type ValueType(const FieldDescriptor& field) {
  return field.is_map() ? field.message_type()->map_value()->type() : field.type();
}

bool NameHasAnyOf(const FieldDescriptor& field, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (field.name().find(word) != std::string::npos) return true;
  }
  return false;
}

void VisitMessage(const Descriptor& message,
                  const std::function<void(const FieldDescriptor&)>& visit) {
  if (message.options().map_entry()) return;  // seen through the map's own field
  for (int i = 0; i < message.field_count(); ++i) visit(*message.field(i));
  for (int i = 0; i < message.nested_type_count(); ++i) {
    VisitMessage(*message.nested_type(i), visit);
  }
}

// Visits each field of each message of the files; returns how many there were.
size_t VisitFields(const std::vector<const FileDescriptor*>& files,
                   const std::function<void(const FieldDescriptor&)>& visit) {
  size_t count = 0;
  for (const FileDescriptor* file : files) {
    for (int i = 0; i < file->message_type_count(); ++i) {
      VisitMessage(*file->message_type(i), [&](const FieldDescriptor& field) {
        ++count;
        visit(field);
      });
    }
  }
  return count;
}

std::vector<const FileDescriptor*> ApiAndStore() {
  std::vector<const FileDescriptor*> files = ApiFiles();
  files.insert(files.end(), StoreFiles().begin(), StoreFiles().end());
  return files;
}

// Full names of the sensitive fields that a message carries, itself or in messages inside it.
void CollectSensitive(const Descriptor& message, std::set<const Descriptor*>& seen,
                      std::set<std::string>& found) {
  if (!seen.insert(&message).second) return;
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    if (IsSensitive(field)) found.insert(field.full_name());
    if (field.message_type() != nullptr) CollectSensitive(*field.message_type(), seen, found);
  }
}

std::set<std::string> SensitiveFieldsOf(const Descriptor& message) {
  std::set<const Descriptor*> seen;
  std::set<std::string> found;
  CollectSensitive(message, seen, found);
  return found;
}

const std::vector<std::string>& SecretWords() {
  static const auto* const words = new std::vector<std::string>{
      "token", "key", "secret", "cookie", "password", "service_account", "body", "content"};
  return *words;
}

TEST(SensitiveFields, BytesNamedLikeASecretAreMarked) {
  const size_t fields = VisitFields(ApiAndStore(), [](const FieldDescriptor& field) {
    if (ValueType(field) != FieldDescriptor::TYPE_BYTES) return;
    if (!NameHasAnyOf(field, SecretWords())) return;
    EXPECT_TRUE(IsSensitive(field)) << field.full_name() << " is not marked sensitive";
  });
  EXPECT_GT(fields, 300u) << "the walk missed files";
}

TEST(SensitiveFields, EveryBytesFieldOfTheApiIsMarkedUnlessListed) {
  const std::set<std::string> open = {"credbroker.v1.ExportCredentialsResponse.json"};
  std::set<std::string> unmarked;
  VisitFields(ApiFiles(), [&](const FieldDescriptor& field) {
    if (ValueType(field) == FieldDescriptor::TYPE_BYTES && !IsSensitive(field)) {
      unmarked.insert(field.full_name());
    }
  });
  EXPECT_EQ(unmarked, open);
}

TEST(SensitiveFields, NoSecretIsAString) {
  // Handles, not secrets: useless without being an admitted principal.
  const std::set<std::string> handles = {"page_token", "next_page_token", "selection_token"};
  VisitFields(ApiAndStore(), [&](const FieldDescriptor& field) {
    if (ValueType(field) != FieldDescriptor::TYPE_STRING) return;
    if (!NameHasAnyOf(field, {"token", "secret", "cookie", "password", "api_key"})) return;
    EXPECT_TRUE(handles.count(field.name()) == 1)
        << field.full_name() << ": secrets are bytes and marked sensitive";
  });
}

TEST(SensitiveFields, AddressesOfProxiesAreMarkedForTheirPasswords) {
  VisitFields(ApiAndStore(), [](const FieldDescriptor& field) {
    if (!NameHasAnyOf(field, {"proxy_url", "egress"})) return;
    EXPECT_TRUE(IsSensitive(field) || IsRedacted(field)) << field.full_name();
  });
}

TEST(SensitiveFields, OnlyGrantsAndSessionsOfAllResponsesCarryOne) {
  std::set<std::string> services, carriers;
  int methods = 0;
  for (const FileDescriptor* file : ApiFiles()) {
    for (int i = 0; i < file->service_count(); ++i) {
      services.insert(file->service(i)->name());
      for (int j = 0; j < file->service(i)->method_count(); ++j) {
        const auto& method = *file->service(i)->method(j);
        ++methods;
        if (!SensitiveFieldsOf(*method.output_type()).empty()) carriers.insert(method.full_name());
      }
    }
  }
  EXPECT_EQ(services, (std::set<std::string>{"AdminService", "BrokerService"}));
  EXPECT_EQ(methods, 21);
  EXPECT_EQ(carriers, (std::set<std::string>{"credbroker.v1.BrokerService.Acquire",
                                             "credbroker.v1.BrokerService.Session"}));
  EXPECT_TRUE(SensitiveFieldsOf(*credbroker::v1::SessionResponse::descriptor())
                  .contains("credbroker.v1.SessionCredential.request_headers"));
}

TEST(SensitiveFields, EveryFieldOfSecretMaterialIsMarkedButItsExpiry) {
  const Descriptor& message = *credbroker::v1::SecretMaterial::descriptor();
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    EXPECT_EQ(IsSensitive(field), field.name() != "expire_time") << field.full_name();
  }
}

TEST(SensitiveFields, AConfigurationHoldsNone) {
  const size_t fields = VisitFields(
      {credbroker::config::v1::Config::descriptor()->file(),
       credbroker::config::v1::Provider::descriptor()->file()},
      [](const FieldDescriptor& field) {
        EXPECT_NE(ValueType(field), FieldDescriptor::TYPE_BYTES) << field.full_name();
        EXPECT_FALSE(IsSensitive(field)) << field.full_name();
        EXPECT_FALSE(NameHasAnyOf(field, {"secret", "password", "api_key"})) << field.full_name();
      });
  EXPECT_GT(fields, 100u) << "the walk missed fields";
}

// --- Messages other software defines: names and numbers must be theirs --------------------------

struct ForeignField {
  const Descriptor* message;
  const char* full_name;
  int number;
};

TEST(ForeignMessages, HaveTheirTrueNamesAndNumbers) {
  const ForeignField fields[] = {
      {google::rpc::Status::descriptor(), "google.rpc.Status.code", 1},
      {google::rpc::Status::descriptor(), "google.rpc.Status.message", 2},
      {google::rpc::Status::descriptor(), "google.rpc.Status.details", 3},
      {google::rpc::ErrorInfo::descriptor(), "google.rpc.ErrorInfo.reason", 1},
      {google::rpc::ErrorInfo::descriptor(), "google.rpc.ErrorInfo.domain", 2},
      {google::rpc::ErrorInfo::descriptor(), "google.rpc.ErrorInfo.metadata", 3},
      {google::rpc::RetryInfo::descriptor(), "google.rpc.RetryInfo.retry_delay", 1},
      {google::rpc::BadRequest::descriptor(), "google.rpc.BadRequest.field_violations", 1},
      {google::rpc::BadRequest::FieldViolation::descriptor(),
       "google.rpc.BadRequest.FieldViolation.field", 1},
      {google::rpc::BadRequest::FieldViolation::descriptor(),
       "google.rpc.BadRequest.FieldViolation.description", 2},
      {grpc::health::v1::HealthCheckRequest::descriptor(),
       "grpc.health.v1.HealthCheckRequest.service", 1},
      {grpc::health::v1::HealthCheckResponse::descriptor(),
       "grpc.health.v1.HealthCheckResponse.status", 1},
  };
  for (const ForeignField& expected : fields) {
    const FieldDescriptor* field = expected.message->FindFieldByNumber(expected.number);
    ASSERT_NE(field, nullptr) << expected.full_name;
    EXPECT_EQ(field->full_name(), expected.full_name);
  }
  EXPECT_EQ(grpc::health::v1::HealthCheckResponse::SERVING, 1);
  EXPECT_EQ(grpc::health::v1::HealthCheckResponse::NOT_SERVING, 2);
  EXPECT_EQ(grpc::health::v1::HealthCheckResponse::SERVICE_UNKNOWN, 3);
}

}  // namespace
