// What the sidecar counts, and the text a scrape gets. Names follow server/obs/metric_table.h:
// prefix credbroker_sidecar_, base units, counters end in _total; labels are closed sets (route
// names come from the configuration), so the number of series does not move with traffic.
//
// Thread-safety: every member may be called from any thread.
#ifndef CREDBROKER_CLIENT_SIDECAR_METRICS_H_
#define CREDBROKER_CLIENT_SIDECAR_METRICS_H_

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/obs/grpc_metrics.h"
#include "server/obs/instruments.h"

namespace credbroker::sidecar {

// Who asked, or reported.
enum class Face : uint8_t { kGrpc, kHttp, kLog };
inline constexpr size_t kFaces = 3;

// What became of a request for a lease.
enum class Granting : uint8_t {
  kStock,       // out of stock
  kDirect,      // the broker was asked
  kServedLast,  // the last known material, the broker being away
  kBypass,      // "go ahead" without a credential, the broker being away
  kShadow,      // decided, not handed out
  kDisabled,    // refused: nothing enabled, or nothing of that name
  kBusy,        // refused: everything cools down or is at its cap
  kAway,        // refused: the broker is away
  kInvalid,     // refused: the request was wrong
  kUnusable,    // refused: the credential's headers are no valid HTTP
};
inline constexpr size_t kGrantings = 10;

// How a decision differs from what the proxy used.
enum class Shadow : uint8_t { kSame, kDifferent, kAbsent, kRefused };
inline constexpr size_t kShadows = 4;

// What became of a report.
enum class Reported : uint8_t {
  kAccepted,
  kEarly,
  kDuplicate,
  kLate,
  kUnknown,
  kMalformed,
  kEmpty
};
inline constexpr size_t kReporteds = 7;

// How leases ended.
enum class Ending : uint8_t { kReported, kReleased, kExpired, kStopped };
inline constexpr size_t kEndings = 4;

// Numbers somebody else keeps, copied when somebody scrapes.
struct Gauges {
  size_t live_leases = 0;
  std::string session_state = "connecting";
  uint64_t in_stock = 0;
  uint64_t reconnects = 0;
  uint64_t revocations = 0;
  uint64_t stock_revoked = 0;
  uint64_t ends_dropped = 0;
  uint64_t http_refused = 0;
  uint64_t log_dropped = 0;
};

class Metrics {
 public:
  Metrics(std::vector<std::string> routes, const std::vector<obs::GrpcMethod>& methods);

  obs::Counter& acquired(Face face, size_t route, Granting what) {
    return routes_[route].acquired[static_cast<size_t>(face)][static_cast<size_t>(what)];
  }
  obs::Counter& shadow(size_t route, Shadow what) {
    return routes_[route].shadow[static_cast<size_t>(what)];
  }
  obs::Counter& reported(Face face, Reported what) {
    return reported_[static_cast<size_t>(face)][static_cast<size_t>(what)];
  }
  obs::Counter& ended(Ending how) { return ended_[static_cast<size_t>(how)]; }
  obs::Histogram& lease_duration() { return lease_duration_; }
  obs::GrpcServerMetrics& grpc() { return grpc_; }

  // `gauges` runs on the scraping thread; until it is set there are none.
  void SetGauges(std::function<Gauges()> gauges) { gauges_ = std::move(gauges); }
  // Text format 0.0.4.
  std::string Text() const;

 private:
  struct Route {
    std::array<std::array<obs::Counter, kGrantings>, kFaces> acquired;
    std::array<obs::Counter, kShadows> shadow;
  };

  const std::vector<std::string> names_;
  const std::unique_ptr<Route[]> routes_;
  std::array<std::array<obs::Counter, kReporteds>, kFaces> reported_;
  std::array<obs::Counter, kEndings> ended_;
  obs::Histogram lease_duration_;
  obs::GrpcServerMetrics grpc_;
  std::function<Gauges()> gauges_;
};

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_METRICS_H_
