// A proxy's upstream call with the client library: a session, a target, and for each attempt a
// lease that is reported.
//
//   example_session_call unix:/run/credbroker/broker.sock openai [MODEL]
//
// The upstream here is a function that always answers 200; put your HTTP client in its place.
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "credbroker/client/client.h"
#include "credbroker/client/error.h"

namespace {

namespace client = credbroker::client;
namespace v1 = credbroker::v1;

// The answer of an upstream, as far as the broker wants to know.
struct Response {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

// Sends the user's request with the lease's headers, to its base_url, through its proxy.
Response CallUpstream(const client::Lease& lease) {
  std::cout << "calling with " << lease.credential_id() << ", " << lease.headers().size()
            << " header(s)\n";
  return {};
}

// One user's request: at most three attempts, as the broker advises. The advice comes with the
// report's answer, so an attempt that failed waits for it.
absl::Status Serve(client::Session& session, client::TargetId target) {
  client::AcquireOptions options;
  options.timeout = absl::Seconds(5);
  options.max_wait = absl::Seconds(2);
  for (int attempt = 1;; ++attempt) {
    absl::StatusOr<client::Lease> lease = session.Acquire(target, options);
    if (!lease.ok()) return lease.status();
    const Response response = CallUpstream(*lease);
    if (response.status / 100 == 2) {
      lease->ReportSuccess();  // never waits
      return absl::OkStatus();
    }
    client::Outcome outcome = client::Outcome::Status(response.status);
    outcome.headers = response.headers;
    outcome.body_excerpt = response.body;
    const std::string credential = lease->credential_id();
    // Shared: the answer may come after we gave up waiting for it.
    auto answer = std::make_shared<client::ReportAnswer>();
    lease->Report(std::move(outcome),
                  [answer](const client::ReportAnswer& made) { *answer = made; });
    if (absl::Status flushed = session.Flush(absl::Seconds(1)); !flushed.ok()) return flushed;
    if (attempt == 3 || answer->advice == v1::ADVICE_GIVE_UP) {
      return absl::UnavailableError("the upstream refused");
    }
    if (answer->advice == v1::ADVICE_RETRY_OTHER) {
      options.excluded_credential_ids.push_back(credential);
    }
  }
}

// What a person wants to read about a refusal.
void Explain(const absl::Status& status) {
  std::cerr << status.message() << "\n";
  for (const auto& [key, value] : client::MetadataOf(status)) {
    std::cerr << "  " << key << ": " << value << "\n";
  }
  if (const auto delay = client::RetryDelayOf(status)) {
    std::cerr << "  again in " << absl::FormatDuration(*delay) << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: " << argv[0] << " ADDRESS PROVIDER [MODEL]\n";
    return 2;
  }
  auto broker = client::Client::Create({.address = argv[1]});
  if (!broker.ok()) {
    Explain(broker.status());
    return 2;
  }
  client::SessionOptions options;
  options.client = "example/1";
  options.events.on_revoked = [](const client::RevocationEvent& event) {
    std::cout << event.credential_id << " is not handed out any more\n";
  };
  auto session = (*broker)->OpenSession(std::move(options));
  if (!session.ok()) {
    Explain(session.status());
    return 2;
  }
  client::Target wanted;
  wanted.providers = {argv[2]};
  if (argc > 3) wanted.model = argv[3];
  wanted.stock = {.max = 64, .initial = 8};
  const auto target = (*session)->Declare(wanted);
  if (!target.ok()) {
    Explain(target.status());
    return 2;
  }
  const absl::Status served = Serve(**session, *target);
  if (!served.ok()) Explain(served);
  // Reports go out, stock goes back.
  (*session)->Close(absl::Seconds(2)).IgnoreError();
  return served.ok() ? 0 : 1;
}
