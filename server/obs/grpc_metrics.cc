#include "server/obs/grpc_metrics.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace credbroker::obs {
namespace {

constexpr std::array<absl::string_view, 17> kCodes = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};
constexpr size_t kUnknownCode = 2;

size_t CodeIndex(int code) {
  const auto index = static_cast<size_t>(code);
  return code >= 0 && index < kCodes.size() ? index : kUnknownCode;
}

const char* TypeName(GrpcType type) {
  switch (type) {
    case GrpcType::kUnary:
      return "unary";
    case GrpcType::kClientStream:
      return "client_stream";
    case GrpcType::kServerStream:
      return "server_stream";
    case GrpcType::kBidiStream:
      break;
  }
  return "bidi_stream";
}

}  // namespace

absl::string_view GrpcCodeName(int code) { return kCodes[CodeIndex(code)]; }

GrpcMethodMetrics::GrpcMethodMetrics(GrpcMethod method)
    : method_(std::move(method)), handling_(metric::kGrpcHandling) {}

void GrpcMethodMetrics::Handled(int code, absl::Duration took) noexcept {
  handled_[CodeIndex(code)].Increment();
  handling_.Observe(took);
}

void GrpcMethodMetrics::Collect(Exposition& out) const {
  const Exposition::Labels labels = {TypeName(method_.type), method_.service, method_.method};
  out.Add(metric::kGrpcStarted, labels, static_cast<double>(started.value()));
  out.Add(metric::kGrpcReceived, labels, static_cast<double>(received.value()));
  out.Add(metric::kGrpcSent, labels, static_cast<double>(sent.value()));
  out.Add(labels, handling_);
  for (size_t i = 0; i < kCodes.size(); ++i) {
    Exposition::Labels with_code = labels;
    with_code.emplace_back(kCodes[i]);
    out.Add(metric::kGrpcHandled, std::move(with_code), static_cast<double>(handled_[i].value()));
  }
}

GrpcServerMetrics::GrpcServerMetrics(const std::vector<GrpcMethod>& methods)
    : unknown_({"unknown", "unknown", GrpcType::kUnary}) {
  for (const GrpcMethod& method : methods) {
    methods_.emplace(absl::StrCat(method.service, "/", method.method),
                     std::make_unique<GrpcMethodMetrics>(method));
  }
}

GrpcMethodMetrics* GrpcServerMetrics::Method(absl::string_view path) {
  const auto found = methods_.find(absl::StripPrefix(path, "/"));
  return found == methods_.end() ? &unknown_ : found->second.get();
}

void GrpcServerMetrics::Collect(Exposition& out) const {
  unknown_.Collect(out);
  for (const auto& [path, method] : methods_) method->Collect(out);
}

}  // namespace credbroker::obs
