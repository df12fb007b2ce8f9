// From a forward-auth request to what is to be leased: which route it belongs to, and the group,
// providers, model and session it names.
//
// Sources, strongest first: the query of /lease itself (the proxy's configuration wrote it), what
// the route fixes, what the route takes from the original request. The original request is known by
// X-Original-URI or X-Forwarded-Uri, by what follows "/lease" in the path (Envoy), and by
// X-Forwarded-Host or X-Original-Host. A header that is given twice, or two of them that
// contradict, could have been smuggled in by the end user: such a request is refused.
//
// Thread-safety: immutable after construction.
#ifndef CREDBROKER_CLIENT_SIDECAR_ROUTE_TABLE_H_
#define CREDBROKER_CLIENT_SIDECAR_ROUTE_TABLE_H_

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "credbroker/sidecar/v1/config.pb.h"
#include "credbroker/v1/lease.pb.h"
#include "server/http/router.h"

namespace credbroker::sidecar {

namespace api = ::credbroker::v1;
namespace pb = ::credbroker::sidecar::v1;

struct Route {
  pb::Route rules;
  size_t index = 0;  // in RouteTable::routes()
  absl::Duration ttl;
  absl::Duration max_wait;
  absl::Duration timeout;
};

class RouteTable {
 public:
  // Why a request is refused before anything is leased.
  struct Refusal {
    int status;           // 400 or 403
    std::string reason;   // "INVALID_FIELD", "NO_ROUTE", "NOT_ALLOWED"
    std::string message;  // never repeats what was sent
  };
  struct Wanted {
    const Route* route = nullptr;
    api::AcquireRequest request;  // checked
  };

  // REQUIRES: `config` was loaded by settings.h.
  explicit RouteTable(const pb::Config& config);

  std::variant<Wanted, Refusal> Resolve(const http::Request& request) const;

  // The last one is `defaults`.
  const std::vector<Route>& routes() const { return routes_; }
  const Route& defaults() const { return routes_.back(); }

 private:
  struct Original;
  const Route* Match(const http::Request& request, const Original& original) const;

  std::vector<Route> routes_;
  absl::flat_hash_map<std::string, const Route*> by_name_;
  bool explicit_requests_;
};

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_ROUTE_TABLE_H_
