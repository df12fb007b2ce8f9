#include "server/rpc/guard.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "server/rpc/status.h"

namespace credbroker::rpc {
namespace {

using obs::GrpcType;

constexpr char kBroker[] = "credbroker.v1.BrokerService";
constexpr char kAdmin[] = "credbroker.v1.AdminService";
constexpr char kHealth[] = "grpc.health.v1.Health";

constexpr MethodRule kRules[] = {
    {kBroker, "Acquire", GrpcType::kUnary, Access::kLease},
    {kBroker, "Renew", GrpcType::kUnary, Access::kLease},
    {kBroker, "Release", GrpcType::kUnary, Access::kLease},
    {kBroker, "Report", GrpcType::kUnary, Access::kLease},
    {kBroker, "Session", GrpcType::kBidiStream, Access::kLease},
    {kAdmin, "Disable", GrpcType::kUnary, Access::kOperate},
    {kAdmin, "Enable", GrpcType::kUnary, Access::kOperate},
    {kAdmin, "BatchUpdate", GrpcType::kUnary, Access::kOperate},
    {kAdmin, "UndoBatch", GrpcType::kUnary, Access::kOperate},
    {kAdmin, "ListCredentials", GrpcType::kUnary, Access::kRead},
    {kAdmin, "GetCredential", GrpcType::kUnary, Access::kRead},
    {kAdmin, "CreateCredential", GrpcType::kUnary, Access::kImport},
    {kAdmin, "UpdateCredential", GrpcType::kUnary, Access::kImport},
    {kAdmin, "DeleteCredential", GrpcType::kUnary, Access::kImport},
    {kAdmin, "ImportCredentials", GrpcType::kClientStream, Access::kImport},
    {kAdmin, "ExportCredentials", GrpcType::kServerStream, Access::kRead},
    {kAdmin, "ResetAvailability", GrpcType::kUnary, Access::kOperate},
    {kAdmin, "Explain", GrpcType::kUnary, Access::kRead},
    {kAdmin, "GetStats", GrpcType::kUnary, Access::kRead},
    {kAdmin, "WatchCredentials", GrpcType::kServerStream, Access::kRead},
    {kAdmin, "TestPolicy", GrpcType::kUnary, Access::kRead},
    {kHealth, "Check", GrpcType::kUnary, Access::kHealth},
    {kHealth, "Watch", GrpcType::kServerStream, Access::kHealth},
};

const char* NameOf(CallClass kind) {
  switch (kind) {
    case CallClass::kUnary:
      return "calls in flight of one principal";
    case CallClass::kStream:
      return "streams of one principal";
    case CallClass::kHealth:
      return "health checks in flight";
    case CallClass::kSession:
      return "session streams of one principal";
  }
  return "";
}

grpc::Status TooMany(const char* limit, int value) {
  return Error(v1::ERROR_REASON_LIMIT_REACHED, absl::StrCat("at most ", value, " ", limit),
               {{"limit", limit}, {"value", absl::StrCat(value)}});
}

}  // namespace

absl::Span<const MethodRule> MethodRules() { return kRules; }

const MethodRule& RuleOf(absl::string_view service, absl::string_view method) {
  for (const MethodRule& rule : kRules) {
    if (service == rule.service && method == rule.method) return rule;
  }
  CB_CHECK(false && "a method without a rule");
}

CallClass ClassOf(const MethodRule& rule) {
  if (rule.access == Access::kHealth) return CallClass::kHealth;
  if (rule.type == GrpcType::kBidiStream) return CallClass::kSession;
  return rule.type == GrpcType::kUnary ? CallClass::kUnary : CallClass::kStream;
}

Guard::Guard(Options options) : options_(std::move(options)) {}

Guard::Ticket::Ticket(Ticket&& other) noexcept
    : guard_(std::exchange(other.guard_, nullptr)),
      kind_(other.kind_),
      peer_(std::move(other.peer_)) {}

Guard::Ticket& Guard::Ticket::operator=(Ticket&& other) noexcept {
  if (this != &other) {
    Leave();
    guard_ = std::exchange(other.guard_, nullptr);
    kind_ = other.kind_;
    peer_ = std::move(other.peer_);
  }
  return *this;
}

void Guard::Ticket::Leave() {
  if (guard_ == nullptr) return;
  guard_->counts_[static_cast<size_t>(kind_)].fetch_sub(1, std::memory_order_relaxed);
  if (!peer_.empty()) guard_->LeavePeer(peer_);
  guard_ = nullptr;
}

grpc::Status Guard::Enter(const MethodRule& rule, const grpc::ServerContext& context,
                          Ticket* ticket) {
  const CallClass kind = ClassOf(rule);
  const int limit = kind == CallClass::kUnary     ? options_.max_unary
                    : kind == CallClass::kStream  ? options_.max_streams
                    : kind == CallClass::kSession ? options_.max_sessions
                                                  : options_.max_health;
  std::atomic<int>& count = counts_[static_cast<size_t>(kind)];
  if (count.fetch_add(1, std::memory_order_relaxed) >= limit) {
    count.fetch_sub(1, std::memory_order_relaxed);
    return TooMany(NameOf(kind), limit);
  }
  std::string peer;
  if (options_.count_peers) {
    peer = context.peer();
    if (!EnterPeer(peer)) {
      count.fetch_sub(1, std::memory_order_relaxed);
      return TooMany("calls in flight of one connection", options_.max_per_peer);
    }
  }
  ticket->Leave();
  ticket->guard_ = this;
  ticket->kind_ = kind;
  ticket->peer_ = std::move(peer);
  return grpc::Status::OK;
}

bool Guard::EnterPeer(const std::string& peer) {
  engine::MutexLock lock(mutex_);
  int& count = peers_[peer];
  if (count >= options_.max_per_peer) return false;
  ++count;
  return true;
}

void Guard::LeavePeer(const std::string& peer) {
  engine::MutexLock lock(mutex_);
  const auto it = peers_.find(peer);
  if (it != peers_.end() && --it->second == 0) peers_.erase(it);
}

}  // namespace credbroker::rpc
