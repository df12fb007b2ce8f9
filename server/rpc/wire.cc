#include "server/rpc/wire.h"

#include <string>

#include <google/protobuf/stubs/logging.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "server/obs/log.h"
#include "server/rpc/status.h"

namespace credbroker::rpc {
namespace {

// The field protobuf complained about last on this thread.
thread_local std::string last_bad_utf8;

void OnProtobufLog(google::protobuf::LogLevel level, const char*, int, const std::string& message) {
  // "String field 'credbroker.v1.AcquireRequest.model' contains invalid UTF-8 data when ..."
  constexpr absl::string_view kField = "String field";
  if (absl::string_view(message).substr(0, kField.size()) == kField) {
    const size_t begin = message.find('\'');
    const size_t end = begin == std::string::npos ? begin : message.find('\'', begin + 1);
    last_bad_utf8 = end == std::string::npos ? "" : message.substr(begin + 1, end - begin - 1);
    return;
  }
  obs::Log(
      level >= google::protobuf::LOGLEVEL_ERROR ? obs::LogLevel::kError : obs::LogLevel::kWarning,
      "protobuf", message);
}

}  // namespace

void InstallParseLog() { google::protobuf::SetLogHandler(&OnProtobufLog); }

grpc::Status Parse(grpc::ByteBuffer& bytes, google::protobuf::Message& message) {
  last_bad_utf8.clear();
  grpc::Status status =
      grpc::GenericDeserialize<grpc::ProtoBufferReader, google::protobuf::Message>(&bytes,
                                                                                   &message);
  if (status.ok()) return status;
  if (last_bad_utf8.empty()) {
    return BadField("request", absl::StrCat("is not a valid ", message.GetTypeName()));
  }
  // "credbroker.v1.AcquireRequest.model" -> "model"; of a nested message, its last name.
  const size_t dot = last_bad_utf8.rfind('.');
  const std::string field =
      dot == std::string::npos ? last_bad_utf8 : last_bad_utf8.substr(dot + 1);
  return BadField(field, absl::StrCat("is not valid UTF-8 (", last_bad_utf8, ")"));
}

grpc::ByteBuffer Serialize(const google::protobuf::Message& message) {
  grpc::ByteBuffer bytes;
  bool own = false;
  grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::Message>(message, &bytes, &own);
  return bytes;
}

}  // namespace credbroker::rpc
