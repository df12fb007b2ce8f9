#include "server/http/metrics_page.h"

namespace credbroker::http {

void AddMetricsPage(Router& router, obs::Metrics& metrics) {
  router.Handle("GET", "/metrics", [&metrics](const Request&) {
    Response response;
    response.content_type = obs::Metrics::kTextContentType;
    response.body = metrics.Text();
    return response;
  });
}

}  // namespace credbroker::http
