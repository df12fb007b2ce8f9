// Rules of the control plane's reads: lists, exports, watches, explanations, numbers.
#include <string>

#include "server/rpc/validate.h"

namespace credbroker::rpc {
namespace {

void CheckFilterText(const std::string& filter, Checker& check) {
  check.Text(filter, 4096, "filter");
}

void CheckPage(int size, Checker& check) { check.Range(size, 0, 1000, "page_size"); }

}  // namespace

grpc::Status Validate(const v1::ListCredentialsRequest& request) {
  Checker check;
  CheckPage(request.page_size(), check);
  CheckFilterText(request.filter(), check);
  check.Text(request.order_by(), 128, "order_by");
  check.Known(request.state(), &v1::StateFilter_IsValid, "state");
  check.Name(request.group(), "group");
  return check.status();
}

grpc::Status Validate(const v1::ExportCredentialsRequest& request) {
  Checker check;
  CheckFilterText(request.filter(), check);
  check.Name(request.group(), "group");
  check.Name(request.source(), "source");
  check.Known(request.state(), &v1::StateFilter_IsValid, "state");
  return check.status();
}

grpc::Status Validate(const v1::WatchCredentialsRequest& request) {
  Checker check;
  CheckFilterText(request.filter(), check);
  check.Name(request.group(), "group");
  check.Text(request.cursor(), 64, "cursor");
  if (!request.cursor().empty() && request.send_initial()) {
    check.Add("cursor", "does not go with send_initial");
  }
  return check.status();
}

grpc::Status Validate(const v1::ExplainRequest& request) {
  if (grpc::Status status = Validate(request.acquire()); !status.ok()) return status;
  Checker check;
  CheckPage(request.page_size(), check);
  check.Count(request.verdicts_size(), 32, "verdicts");
  for (const int verdict : request.verdicts()) {
    if (!v1::Verdict_IsValid(verdict)) check.Add("verdicts", "has a value that is not known");
  }
  return check.status();
}

grpc::Status Validate(const v1::GetStatsRequest& request) {
  Checker check;
  check.Name(request.group(), "group");
  return check.status();
}

}  // namespace credbroker::rpc
