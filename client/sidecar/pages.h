// The HTTP surface: /lease for forward-auth and /report. README.md describes it field by field.
//
// Thread-safety: plain functions; the handlers run on any number of threads at once.
#ifndef CREDBROKER_CLIENT_SIDECAR_PAGES_H_
#define CREDBROKER_CLIENT_SIDECAR_PAGES_H_

#include "client/sidecar/desk.h"
#include "client/sidecar/metrics.h"
#include "client/sidecar/route_table.h"
#include "credbroker/sidecar/v1/config.pb.h"
#include "server/http/router.h"

namespace credbroker::sidecar {

struct PageContext {
  const pb::ForwardAuth* answers;
  const RouteTable* routes;
  Desk* desk;
  Metrics* metrics;
};

// What `context` points at outlives the router.
void AddPages(http::Router& router, const PageContext& context);

// The answer for a refused lease: the HTTP status and reason of what the broker, or the session,
// said. 403: nothing of that name, or all disabled; 429: cooling or busy; 503: the broker is away;
// 400: the request was wrong.
http::Response RefusalResponse(const absl::Status& refusal, const pb::ForwardAuth& answers);

// Puts what `lease` sets on the upstream request into `response`. False, and the response is not to
// be used: a name or value is no valid HTTP field.
bool SetCredentialHeaders(const HeldLease& lease, const pb::ForwardAuth& answers,
                          http::Response* response);

// How the credential of `lease` compares with what the original request carried.
Shadow Compare(const HeldLease& lease, const Route& route, const http::Request& request);

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_PAGES_H_
