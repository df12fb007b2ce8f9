// Fakes of what the sidecar stands on: leases and where they come from, and the clock.
#ifndef CREDBROKER_TESTS_SIDECAR_FAKE_SOURCE_H_
#define CREDBROKER_TESTS_SIDECAR_FAKE_SOURCE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/sidecar/desk.h"
#include "client/sidecar/lease_source.h"
#include "client/sidecar/settings.h"
#include "credbroker/client/clock.h"
#include "credbroker/client/error.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace credbroker::sidecar {

class FakeClock final : public client::Clock {
 public:
  int64_t BootNanos() const override { return now_; }
  void Advance(absl::Duration span) { now_ += absl::ToInt64Nanoseconds(span); }

 private:
  int64_t now_ = 1'000'000'000;
};

// What the broker would have seen of the leases of one source.
struct Seen {
  int released = 0;  // by Release or by dying
  int expired = 0;
  bool revoked = false;  // all of them
  std::vector<absl::Duration> renewed;
  std::vector<api::ReportItem> reports;
  // Reports that wait for the broker's answer.
  std::vector<client::ReportCallback> unanswered;
};

struct FakeCredential {
  std::string id = "c1";
  std::string provider = "claude";
  std::string model;
  std::string base_url;
  std::string proxy_url;
  std::map<std::string, std::string> headers = {{"authorization", "Bearer secret-1"}};
  bool served_last = false;
  bool from_stock = true;
};

class FakeLease final : public HeldLease {
 public:
  FakeLease(const FakeCredential& credential, Seen& seen) : credential_(credential), seen_(seen) {
    for (const auto& [name, value] : credential.headers) {
      headers_.push_back({name, client::Secret(value)});
    }
  }
  ~FakeLease() override { Release(); }

  const std::vector<client::Header>& headers() const override { return headers_; }
  absl::string_view proxy_url() const override { return credential_.proxy_url; }
  const std::string& base_url() const override { return credential_.base_url; }
  const std::string& model() const override { return credential_.model; }
  const std::string& credential_id() const override { return credential_.id; }
  const std::string& provider() const override { return credential_.provider; }
  bool served_last() const override { return credential_.served_last; }
  bool from_stock() const override { return credential_.from_stock; }
  bool revoked() const override { return seen_.revoked; }
  void CopyTo(api::Grant* grant) const override { grant->set_credential_id(credential_.id); }

  void Renew(absl::Duration ttl) override { seen_.renewed.push_back(ttl); }
  void Report(api::ReportItem item, client::ReportCallback done) override {
    if (!item.early()) ended_ = true;
    seen_.reports.push_back(std::move(item));
    if (done) seen_.unanswered.push_back(std::move(done));
  }
  void Release() override {
    if (!std::exchange(ended_, true)) ++seen_.released;
  }
  void Expire() override {
    if (!std::exchange(ended_, true)) ++seen_.expired;
  }

 private:
  const FakeCredential credential_;
  Seen& seen_;
  std::vector<client::Header> headers_;
  bool ended_ = false;
};

class FakeSource final : public LeaseSource {
 public:
  void Acquire(const Route& route, const api::AcquireRequest& request, absl::Duration timeout,
               std::function<void(LeaseOr)> done) override {
    asked.push_back(request);
    routes.push_back(route.rules.name());
    timeouts.push_back(timeout);
    if (!refusal.ok()) return done(refusal);
    for (const FakeCredential& credential : credentials) {
      bool excluded = false;
      for (const std::string& id : request.excluded_credential_ids()) {
        excluded = excluded || id == credential.id;
      }
      if (!excluded) return done(std::make_unique<FakeLease>(credential, seen));
    }
    done(absl::ResourceExhaustedError("everything is excluded"));
  }
  bool connected() const override { return up; }

  bool up = true;
  absl::Status refusal;
  std::vector<FakeCredential> credentials = {FakeCredential()};
  Seen seen;
  std::vector<api::AcquireRequest> asked;
  std::vector<std::string> routes;
  std::vector<absl::Duration> timeouts;
};

// A refusal as the broker gives it.
inline absl::Status Refused(absl::StatusCode code, const std::string& reason,
                            std::optional<absl::Duration> retry = std::nullopt) {
  google::rpc::Status status;
  status.set_code(static_cast<int>(code));
  status.set_message("refused");
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("credbroker");
  status.add_details()->PackFrom(info);
  if (retry.has_value()) {
    google::rpc::RetryInfo wait;
    wait.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(*retry));
    status.add_details()->PackFrom(wait);
  }
  return client::FromRpcStatus(status);
}

// A desk with its surroundings, configured by YAML.
class Office {
 public:
  explicit Office(const std::string& yaml, size_t max_leases = 100)
      : config(Load(yaml)), routes(config), metrics(Names(routes), {}) {
    Desk::Options options;
    options.clock = clock;
    options.leases.max_leases = max_leases;
    options.leases.random = [this] { return ++random_ * 0x9E3779B97F4A7C15u; };
    desk = std::make_unique<Desk>(source, metrics, std::move(options));
  }

  static pb::Config Load(const std::string& yaml) {
    const auto loaded =
        LoadSettings("sidecar.yaml", absl::StrCat("broker: {address: \"unix:/b.sock\"}\n"
                                                  "http: [{loopback: \"127.0.0.1:0\"}]\n",
                                                  yaml));
    if (!loaded.ok()) throw std::runtime_error(std::string(loaded.status().message()));
    return *loaded;
  }
  static std::vector<std::string> Names(const RouteTable& routes) {
    std::vector<std::string> names;
    for (const Route& route : routes.routes()) names.push_back(route.rules.name());
    return names;
  }
  uint64_t Acquired(Face face, Granting what) {
    uint64_t sum = 0;
    for (size_t i = 0; i < routes.routes().size(); ++i) {
      sum += metrics.acquired(face, i, what).value();
    }
    return sum;
  }

  const pb::Config config;
  const RouteTable routes;
  const std::shared_ptr<FakeClock> clock = std::make_shared<FakeClock>();
  FakeSource source;
  Metrics metrics;
  std::unique_ptr<Desk> desk;

 private:
  uint64_t random_ = 0;
};

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_TESTS_SIDECAR_FAKE_SOURCE_H_
