// Messages to and from the bytes of the wire.
//
// The services are registered raw, so that a message that does not parse is answered by us with
// INVALID_ARGUMENT; gRPC itself would answer INTERNAL.
//
// Thread-safety: pure functions, but that InstallParseLog replaces protobuf's process-wide handler.
#ifndef CREDBROKER_SERVER_RPC_WIRE_H_
#define CREDBROKER_SERVER_RPC_WIRE_H_

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

namespace credbroker::rpc {

// Sends protobuf's complaints to our log and lets Parse name the field with invalid UTF-8.
// Idempotent; the server builder calls it.
void InstallParseLog();

// Replaces `message` by what `bytes` (consumed) holds. INVALID_ARGUMENT where they are malformed or
// a string is not UTF-8, the field named.
grpc::Status Parse(grpc::ByteBuffer& bytes, google::protobuf::Message& message);

// A message that fits the limits always serialises.
grpc::ByteBuffer Serialize(const google::protobuf::Message& message);

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_WIRE_H_
