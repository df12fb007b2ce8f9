// One lease without a session: for programs that make few calls.
//
//   example_single_call unix:/run/credbroker/broker.sock openai [MODEL]
#include <iostream>
#include <string>

#include "credbroker/client/client.h"
#include "credbroker/client/error.h"

namespace client = credbroker::client;
namespace v1 = credbroker::v1;

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: " << argv[0] << " ADDRESS PROVIDER [MODEL]\n";
    return 2;
  }
  auto broker = client::Client::Create({.address = argv[1]});
  if (!broker.ok()) {
    std::cerr << broker.status().message() << "\n";
    return 2;
  }
  v1::AcquireRequest request;
  request.add_providers(argv[2]);
  if (argc > 3) request.set_model(argv[3]);
  // Repeated if the broker cannot be reached for a moment: the library gives the call an id, so
  // that a repeat gets the same lease.
  auto grant = (*broker)->Acquire(request, {.timeout = absl::Seconds(5)});
  if (!grant.ok()) {
    std::cerr << client::ReasonNameOf(grant.status()) << ": " << grant.status().message() << "\n";
    return 1;
  }
  std::cout << "leased " << grant->credential_id() << "\n";
  // ... the upstream call, with grant->request_headers() ...
  v1::ReportRequest report;
  report.add_items()->set_lease_id(grant->lease_id());
  report.mutable_items(0)->set_http_status(200);
  report.mutable_items(0)->set_material_version(grant->material_version());
  const auto answer = (*broker)->Report(report);
  client::WipeSecrets(&*grant);
  if (!answer.ok()) {
    std::cerr << answer.status().message() << "\n";
    return 1;
  }
  return 0;
}
