// Requests of both services: bytes are parsed, validated and, where that passed, turned into what
// the engine takes. No bytes may crash, and every refusal is INVALID_ARGUMENT. The first byte
// chooses the method.
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "absl/strings/string_view.h"
#include "core/check.h"
#include "server/rpc/convert.h"
#include "server/rpc/validate.h"

namespace credbroker::rpc {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'750'000'000);

bool Passed(const grpc::Status& status) {
  CB_CHECK(status.ok() || status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  return status.ok();
}

template <typename Request>
bool Parsed(absl::string_view bytes, Request* request) {
  return request->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

template <typename Request>
void Check(absl::string_view bytes) {
  Request request;
  if (Parsed(bytes, &request)) Passed(Validate(request));
}

void Acquire(absl::string_view bytes) {
  v1::AcquireRequest request;
  if (!Parsed(bytes, &request) || !Passed(Validate(request))) return;
  const AcquireArguments arguments(request, "fuzz", absl::Seconds(1));
  CB_CHECK(arguments.command().max_wait <= absl::Seconds(1));
}

void Report(absl::string_view bytes) {
  v1::ReportRequest request;
  if (!Parsed(bytes, &request) || !Passed(Validate(request))) return;
  const core::PolicyTable policy;
  for (const v1::ReportItem& item : request.items()) {
    const HeaderList headers = ToHeaders(item.headers());
    const engine::ReportItem out = ToReportItem(item, headers);
    policy.Classify("claude", core::Kind::kOAuth, true, true, out.facts, kNow);
  }
}

void Create(absl::string_view bytes) {
  v1::CreateCredentialRequest request;
  if (!Parsed(bytes, &request) || !Passed(Validate(request))) return;
  (void)ToDocument(request.credential(), KindOf(request.secret()));
  CB_CHECK(ToSecret(request.secret()) != nullptr);
}

void Update(absl::string_view bytes) {
  v1::UpdateCredentialRequest request;
  if (!Parsed(bytes, &request) || !Passed(Validate(request))) return;
  core::Document document;
  (void)PatchDocument(request.credential(), request.update_mask(), document);
}

void Batch(absl::string_view bytes) {
  v1::BatchUpdateRequest request;
  if (!Parsed(bytes, &request) || !Passed(Validate(request, kNow))) return;
  for (const v1::BatchOperation& operation : request.operations()) ToOperation(operation);
}

void Disable(absl::string_view bytes) {
  v1::DisableRequest request;
  if (Parsed(bytes, &request)) Passed(Validate(request, kNow));
}

void Run(uint8_t method, absl::string_view bytes) {
  using Entry = void (*)(absl::string_view);
  static constexpr Entry kEntries[] = {Acquire,
                                       Report,
                                       Create,
                                       Update,
                                       Batch,
                                       Disable,
                                       Check<v1::RenewRequest>,
                                       Check<v1::ReleaseRequest>,
                                       Check<v1::EnableRequest>,
                                       Check<v1::ResetAvailabilityRequest>,
                                       Check<v1::GetCredentialRequest>,
                                       Check<v1::DeleteCredentialRequest>,
                                       Check<v1::UndoBatchRequest>,
                                       Check<v1::ListCredentialsRequest>,
                                       Check<v1::ExportCredentialsRequest>,
                                       Check<v1::WatchCredentialsRequest>,
                                       Check<v1::ExplainRequest>,
                                       Check<v1::GetStatsRequest>,
                                       Check<v1::TestPolicyRequest>};
  kEntries[method % std::size(kEntries)](bytes);
}

}  // namespace
}  // namespace credbroker::rpc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  credbroker::rpc::Run(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
