// GET /metrics in the Prometheus text format.
#ifndef CREDBROKER_SERVER_HTTP_METRICS_PAGE_H_
#define CREDBROKER_SERVER_HTTP_METRICS_PAGE_H_

#include "server/http/router.h"
#include "server/obs/metrics.h"

namespace credbroker::http {

// `metrics` outlives the router.
void AddMetricsPage(Router& router, obs::Metrics& metrics);

}  // namespace credbroker::http

#endif  // CREDBROKER_SERVER_HTTP_METRICS_PAGE_H_
