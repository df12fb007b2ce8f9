// Uses each public header; succeeds if the library says that there is no broker.
#include <credbroker/client/client.h>
#include <credbroker/client/clock.h>
#include <credbroker/client/error.h>
#include <credbroker/client/events.h>
#include <credbroker/client/lease.h>
#include <credbroker/client/outcome.h>
#include <credbroker/client/secret.h>
#include <credbroker/client/session.h>
#include <credbroker/client/target.h>
#include <credbroker/v1/broker.grpc.pb.h>

#include <iostream>

#include <grpcpp/channel.h>

int main() {
  auto client = credbroker::client::Client::Create({.address = "unix:/nonexistent/broker.sock"});
  if (!client.ok()) return 1;
  const auto stub = credbroker::v1::BrokerService::NewStub((*client)->channel());
  auto session = (*client)->OpenSession({});
  if (!session.ok()) return 1;
  credbroker::client::Target target;
  target.providers = {"openai"};
  const auto id = (*session)->Declare(target);
  if (!id.ok()) return 1;
  credbroker::client::AcquireOptions options;
  options.timeout = absl::Milliseconds(200);
  const auto lease = (*session)->Acquire(*id, options);
  std::cout << lease.status().message() << "\n";
  return credbroker::client::LocalReasonOf(lease.status()) ==
                 credbroker::client::LocalReason::kNotConnected
             ? 0
             : 1;
}
