#include "server/rpc/watchdog.h"

#include <grpc/support/time.h>

#include <chrono>
#include <utility>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include "grpc/health/v1/health.grpc.pb.h"
#include "server/obs/log.h"

namespace credbroker::rpc {
namespace {

grpc::Status CheckOnce(const std::string& target, absl::Duration patience) {
  grpc::ChannelArguments arguments;
  // A connection of its own: sharing one would hide that no new one is possible.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const auto stub = grpc::health::v1::Health::NewStub(
      grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  // Monotonic, here and below: a step of the wall clock must not look like a dead server, nor put
  // the watchdog to sleep.
  context.set_deadline(
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                   gpr_time_from_nanos(absl::ToInt64Nanoseconds(patience), GPR_TIMESPAN)));
  grpc::health::v1::HealthCheckRequest request;
  request.set_service("liveness");
  grpc::health::v1::HealthCheckResponse response;
  // Any answer proves that calls get through; what it says is for others to act upon.
  return stub->Check(&context, request, &response);
}

}  // namespace

Watchdog::Watchdog(Options options) : options_(std::move(options)), thread_([this] { Run(); }) {}

Watchdog::~Watchdog() {
  {
    engine::MutexLock lock(mutex_);
    stop_ = true;
    wake_.NotifyAll();
  }
  thread_.join();
}

void Watchdog::Run() {
  std::vector<int> failures(options_.targets.size(), 0);
  while (true) {
    {
      using Steady = std::chrono::steady_clock;
      const Steady::time_point next = Steady::now() + absl::ToChronoNanoseconds(options_.interval);
      engine::MutexLock lock(mutex_);
      while (!stop_ && Steady::now() < next) wake_.WaitFor(mutex_, next - Steady::now());
      if (stop_) return;
    }
    for (size_t i = 0; i < options_.targets.size(); ++i) {
      const std::string& target = options_.targets[i];
      const grpc::Status status = CheckOnce(target, options_.patience);
      if (status.ok()) {
        failures[i] = 0;
        continue;
      }
      ++failures[i];
      obs::LogWarning(
          "rpc", "the watchdog's check failed",
          {{"target", target}, {"failures", failures[i]}, {"error", status.error_message()}});
      if (failures[i] >= options_.failures) {
        options_.on_dead(target);
        return;
      }
    }
  }
}

}  // namespace credbroker::rpc
