#include "client/session/target_check.h"

#include "absl/strings/str_cat.h"
#include "client/session/request_check.h"
#include "credbroker/client/error.h"

namespace credbroker::client {
namespace {

absl::Status Bad(absl::string_view what) { return LocalError(LocalReason::kInvalidArgument, what); }

template <typename T>
bool Within(T value, T least, T most) {
  return least <= value && value <= most;
}

}  // namespace

absl::Status CheckTarget(const Target& target) {
  v1::AcquireRequest request;
  request.set_group(target.group);
  request.mutable_providers()->Assign(target.providers.begin(), target.providers.end());
  request.set_model(target.model);
  request.set_kind(target.kind);
  request.mutable_labels()->insert(target.labels.begin(), target.labels.end());
  if (absl::Status bad = CheckRequest(request); !bad.ok()) return bad;
  if (target.group.empty()) return Bad("group: 1 to 64 characters of [a-z0-9._-]");
  if (!Within(target.ttl, absl::Seconds(1), absl::Hours(1))) return Bad("ttl: 1 s to 1 h");
  if (!Within(target.stock.max, 0, 512)) return Bad("stock.max: 0 to 512");
  if (!Within(target.stock.initial, 0, target.stock.max)) {
    return Bad("stock.initial: 0 to stock.max");
  }
  if (!Within(target.stock.idle_return, absl::Seconds(1), absl::Hours(1))) {
    return Bad("stock.idle_return: 1 s to 1 h");
  }
  if (!Within(target.max_serve_last, 1, 100'000)) return Bad("max_serve_last: 1 to 100,000");
  if (!Within(target.serve_last_after, absl::Milliseconds(1), absl::Hours(1))) {
    return Bad("serve_last_after: 1 ms to 1 h");
  }
  return absl::OkStatus();
}

size_t BytesOf(const Target& target) {
  size_t bytes = 256 + target.group.size() + target.model.size();
  for (const std::string& provider : target.providers) bytes += 64 + provider.size();
  for (const auto& [key, value] : target.labels) bytes += 64 + key.size() + value.size();
  return bytes;
}

absl::Status CheckSessionOptions(const SessionOptions& options) {
  if (options.client.size() > 128) return Bad("client: at most 128 bytes");
  if (options.instance.size() > 128) return Bad("instance: at most 128 bytes");
  if (!Within(options.max_leases, 1, 100'000)) return Bad("max_leases: 1 to 100,000");
  if (!Within<int64_t>(options.max_report_bytes, 64 << 10, 1 << 30)) {
    return Bad("max_report_bytes: 64 KiB to 1 GiB");
  }
  if (!Within(options.report_delay, absl::ZeroDuration(), absl::Milliseconds(100))) {
    return Bad("report_delay: 0 to 100 ms");
  }
  return absl::OkStatus();
}

}  // namespace credbroker::client
