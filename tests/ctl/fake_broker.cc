#include "tests/ctl/fake_broker.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include "client/ctl/words.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace credbroker::ctl {

grpc::Status FakeAdmin::ImportCredentials(grpc::ServerContext*,
                                          grpc::ServerReader<v1::ImportCredentialsRequest>* reader,
                                          v1::ImportCredentialsResponse* out) {
  v1::ImportCredentialsRequest part;
  grpc::Status status;
  bool any = false;
  while (reader->Read(&part)) {
    any = true;
    status = on_Import.Take(part, out);
  }
  return any ? status : grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no header");
}

grpc::Status FakeAdmin::ExportCredentials(grpc::ServerContext*,
                                          const v1::ExportCredentialsRequest* request,
                                          grpc::ServerWriter<v1::ExportCredentialsResponse>* out) {
  for (const auto& file : exported) out->Write(file);
  v1::ExportCredentialsResponse unused;
  return on_Export.Take(*request, &unused);
}

grpc::Status FakeAdmin::WatchCredentials(grpc::ServerContext*,
                                         const v1::WatchCredentialsRequest* request,
                                         grpc::ServerWriter<v1::WatchCredentialsResponse>* out) {
  for (const auto& event : events) out->Write(event);
  v1::WatchCredentialsResponse unused;
  return on_Watch.Take(*request, &unused);
}

ScratchFolder::ScratchFolder() {
  const std::string base = std::filesystem::temp_directory_path() / "ctl-XXXXXX";
  std::vector<char> name(base.c_str(), base.c_str() + base.size() + 1);
  path_ = mkdtemp(name.data());
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string ScratchFolder::Write(const std::string& relative, const std::string& bytes) const {
  const std::filesystem::path path = std::filesystem::path(path_) / relative;
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
  return path.string();
}

std::string ScratchFolder::Read(const std::string& relative) const {
  std::ifstream file(std::filesystem::path(path_) / relative, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool ScratchFolder::Has(const std::string& relative) const {
  return std::filesystem::exists(std::filesystem::path(path_) / relative);
}

CtlTest::CtlTest() {
  address_ = "unix:" + folder_.path() + "/socket";
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
  builder.RegisterService(&broker_);
  builder.RegisterService(&admin_);
  server_ = builder.BuildAndStart();
  env_.variable = [this](const std::string& name) { return variables_[name]; };
  env_.now = [] { return kNow; };
}

CtlTest::~CtlTest() { server_->Shutdown(); }

CtlTest::Result CtlTest::Run(std::vector<std::string> args, const std::string& in) {
  args.insert(args.begin(), {"--server", address_});
  return RunBare(args, in);
}

CtlTest::Result CtlTest::RunBare(const std::vector<std::string>& args, const std::string& in) {
  std::istringstream input(in);
  std::ostringstream out;
  std::ostringstream err;
  env_.in = &input;
  env_.out = &out;
  env_.err = &err;
  const ExitCode code = RunCtl(args, env_);
  return {static_cast<int>(code), out.str(), err.str()};
}

grpc::Status Refusal(grpc::StatusCode code, const std::string& message, const std::string& reason,
                     const std::map<std::string, std::string>& metadata, absl::Duration retry,
                     const std::map<std::string, std::string>& fields) {
  google::rpc::Status wire;
  wire.set_code(code);
  wire.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("credbroker");
  info.mutable_metadata()->insert(metadata.begin(), metadata.end());
  wire.add_details()->PackFrom(info);
  if (retry > absl::ZeroDuration()) {
    google::rpc::RetryInfo again;
    FromDuration(retry, again.mutable_retry_delay());
    wire.add_details()->PackFrom(again);
  }
  if (!fields.empty()) {
    google::rpc::BadRequest bad;
    for (const auto& [field, text] : fields) {
      auto& violation = *bad.add_field_violations();
      violation.set_field(field);
      violation.set_description(text);
    }
    wire.add_details()->PackFrom(bad);
  }
  return {code, message, wire.SerializeAsString()};
}

}  // namespace credbroker::ctl
