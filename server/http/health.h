// GET /livez and GET /readyz, as Kubernetes probes ask for them.
//
// /livez answers 200 {"status":"ok"} as long as the process can answer at all and no watchdog gave
// it up; it depends on nothing outside. /readyz runs the registered checks: 200 {"status":"ready"}
// or 503 {"status":"not_ready","failures":[{"check":"store","reason":"..."}]}.
#ifndef CREDBROKER_SERVER_HTTP_HEALTH_H_
#define CREDBROKER_SERVER_HTTP_HEALTH_H_

#include "server/http/router.h"
#include "server/obs/health_state.h"

namespace credbroker::http {

// `health` outlives the router.
void AddHealthPages(Router& router, const obs::HealthState& health);

}  // namespace credbroker::http

#endif  // CREDBROKER_SERVER_HTTP_HEALTH_H_
