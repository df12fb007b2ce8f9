// What the fleet benchmark asks of the control plane. Prints one line of JSON.
//
//   admin_client TARGET create COUNT TOKEN_BYTES   API keys of provider claude, call by call
//   admin_client TARGET import COUNT TOKEN_BYTES   OAuth logins of claude as files, one stream
//   admin_client TARGET list SECONDS               pages of 100 with a filter, one after another
//   admin_client TARGET batch COUNT PRIORITY       BatchUpdate of the first COUNT imported ones
//
// document_bytes is what a credential has of its own: its message without status, and its token.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "credbroker/v1/admin.grpc.pb.h"

namespace credbroker::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kSource[] = "bench";

std::string IdOf(int number) {
  char text[32];
  std::snprintf(text, sizeof text, "claude-%07d", number);
  return text;
}

// `seed` repeated as unlike text, so that no two credentials share a token.
std::string TokenOf(const std::string& seed, size_t bytes) {
  std::string token = seed;
  for (uint64_t state = std::hash<std::string>()(seed); token.size() < bytes;) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    token += "abcdefghijklmnopqrstuvwxyz0123456789-_ABCDEFGHIJKLMNOPQRSTUVWXYZ"[state >> 58];
  }
  token.resize(bytes);
  return token;
}

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

int Failed(const grpc::Status& status) {
  std::fprintf(stderr, "admin_client: %d %s\n", static_cast<int>(status.error_code()),
               status.error_message().c_str());
  return 1;
}

struct Creation {
  grpc::ClientContext context;
  v1::Credential reply;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::Credential>> reader;
};

int Create(v1::AdminService::Stub& stub, int count, size_t token_bytes) {
  constexpr int kInFlight = 512;
  grpc::CompletionQueue queue;
  const Clock::time_point start = Clock::now();
  int begun = 0, out = 0;
  uint64_t document_bytes = 0;
  while (begun < count || out > 0) {
    while (begun < count && out < kInFlight) {
      auto* creation = new Creation;
      v1::CreateCredentialRequest request;
      v1::Credential& credential = *request.mutable_credential();
      credential.set_id(IdOf(begun));
      credential.set_provider("claude");
      credential.set_email("account-" + std::to_string(begun) + "@example.com");
      credential.set_label("team-" + std::to_string(begun % 50));
      credential.set_priority(0);
      request.mutable_secret()->set_api_key(TokenOf(IdOf(begun), token_bytes));
      creation->reader = stub.AsyncCreateCredential(&creation->context, request, &queue);
      creation->reader->Finish(&creation->reply, &creation->status, creation);
      ++begun;
      ++out;
    }
    void* tag = nullptr;
    bool ok = false;
    if (!queue.Next(&tag, &ok)) return 1;
    std::unique_ptr<Creation> creation(static_cast<Creation*>(tag));
    --out;
    if (!creation->status.ok()) return Failed(creation->status);
    creation->reply.clear_status();
    document_bytes += creation->reply.ByteSizeLong() + token_bytes;
  }
  std::printf("{\"created\": %d, \"seconds\": %.3f, \"document_bytes\": %llu}\n", count,
              Since(start), static_cast<unsigned long long>(document_bytes / count));
  return 0;
}

// A file as a login tool writes it.
std::string FileOf(int number, size_t token_bytes) {
  const std::string id = IdOf(number);
  char expired[32];
  const std::time_t then = std::time(nullptr) + 8 * 3600;
  std::strftime(expired, sizeof expired, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&then));
  return R"({"type":"claude","access_token":")" + TokenOf("access-" + id, token_bytes) +
         R"(","refresh_token":")" + TokenOf("refresh-" + id, 108) + R"(","email":"account-)" +
         std::to_string(number) + R"(@example.com","label":"team-)" + std::to_string(number % 50) +
         R"(","account_uuid":")" + TokenOf("account-" + id, 36) + R"(","organization_uuid":")" +
         TokenOf("organization-" + id, 36) +
         R"(","last_refresh":"2026-01-01T00:00:00Z","expired":")" + expired + R"("})";
}

// Of the first page of credentials.
grpc::Status DocumentBytes(v1::AdminService::Stub& stub, size_t token_bytes, uint64_t* bytes) {
  v1::ListCredentialsRequest request;
  request.set_page_size(100);
  request.set_state(v1::STATE_FILTER_ALL);
  grpc::ClientContext context;
  v1::ListCredentialsResponse reply;
  if (grpc::Status status = stub.ListCredentials(&context, request, &reply); !status.ok()) {
    return status;
  }
  uint64_t sum = 0;
  for (v1::Credential& credential : *reply.mutable_credentials()) {
    credential.clear_status();
    sum += credential.ByteSizeLong() + token_bytes;
  }
  if (reply.credentials().empty()) return {grpc::StatusCode::UNKNOWN, "empty page"};
  *bytes = sum / static_cast<uint64_t>(reply.credentials_size());
  return grpc::Status::OK;
}

int Import(v1::AdminService::Stub& stub, int count, size_t token_bytes) {
  const Clock::time_point start = Clock::now();
  grpc::ClientContext context;
  v1::ImportCredentialsResponse reply;
  const auto writer = stub.ImportCredentials(&context, &reply);
  v1::ImportCredentialsRequest request;
  request.mutable_header()->set_source(kSource);
  bool open = writer->Write(request);
  for (int i = 0; open && i < count; ++i) {
    request.mutable_file()->set_relative_path(IdOf(i) + ".json");
    request.mutable_file()->set_content(FileOf(i, token_bytes));
    open = writer->Write(request);
  }
  writer->WritesDone();
  if (grpc::Status status = writer->Finish(); !status.ok()) return Failed(status);
  if (reply.created_count() != count) {
    return Failed({grpc::StatusCode::UNKNOWN,
                   std::to_string(reply.created_count()) + " of the files were taken"});
  }
  const double took = Since(start);
  uint64_t document_bytes = 0;
  if (grpc::Status status = DocumentBytes(stub, token_bytes, &document_bytes); !status.ok()) {
    return Failed(status);
  }
  std::printf("{\"created\": %d, \"seconds\": %.3f, \"document_bytes\": %llu}\n", count, took,
              static_cast<unsigned long long>(document_bytes));
  return 0;
}

int List(v1::AdminService::Stub& stub, double seconds) {
  std::vector<double> milliseconds;
  v1::ListCredentialsRequest request;
  request.set_page_size(100);
  request.set_filter("label = \"team-7\"");
  request.set_state(v1::STATE_FILTER_ALL);
  const Clock::time_point start = Clock::now();
  while (Since(start) < seconds) {
    grpc::ClientContext context;
    v1::ListCredentialsResponse reply;
    const Clock::time_point began = Clock::now();
    const grpc::Status status = stub.ListCredentials(&context, request, &reply);
    if (!status.ok()) return Failed(status);
    milliseconds.push_back(1e3 * Since(began));
    if (reply.credentials_size() == 0) return Failed({grpc::StatusCode::UNKNOWN, "empty page"});
    request.set_page_token(reply.next_page_token());
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  std::printf("{\"pages\": %zu, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f}\n",
              milliseconds.size(), milliseconds[milliseconds.size() / 2],
              milliseconds[milliseconds.size() * 99 / 100], milliseconds.back());
  return 0;
}

int Batch(v1::AdminService::Stub& stub, int count, int priority) {
  v1::BatchUpdateRequest request;
  for (int i = 0; i < count; ++i) {
    request.mutable_ids()->add_ids(std::string(kSource) + "/" + IdOf(i));
  }
  request.add_operations()->set_set_priority(priority);
  grpc::ClientContext context;
  v1::BatchUpdateResponse reply;
  const Clock::time_point start = Clock::now();
  const grpc::Status status = stub.BatchUpdate(&context, request, &reply);
  const double took = Since(start);
  if (!status.ok()) return Failed(status);
  std::printf("{\"rows\": %d, \"seconds\": %.3f, \"reply_bytes\": %zu}\n", count, took,
              reply.ByteSizeLong());
  return 0;
}

int Main(int argc, char** argv) {
  if (argc < 4) return 2;
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 * 1024 * 1024);
  const auto stub = v1::AdminService::NewStub(
      grpc::CreateCustomChannel(argv[1], grpc::InsecureChannelCredentials(), arguments));
  const std::string what = argv[2];
  if (what == "create" && argc == 5) {
    return Create(*stub, std::atoi(argv[3]), static_cast<size_t>(std::atoi(argv[4])));
  }
  if (what == "import" && argc == 5) {
    return Import(*stub, std::atoi(argv[3]), static_cast<size_t>(std::atoi(argv[4])));
  }
  if (what == "list") return List(*stub, std::atof(argv[3]));
  if (what == "batch" && argc == 5) return Batch(*stub, std::atoi(argv[3]), std::atoi(argv[4]));
  return 2;
}

}  // namespace
}  // namespace credbroker::bench

int main(int argc, char** argv) { return credbroker::bench::Main(argc, argv); }
