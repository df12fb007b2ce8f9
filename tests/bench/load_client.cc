// Keeps a number of calls in flight on one channel for a time, or at a rate, and prints what came
// of it as one line of JSON. One thread, one completion queue.
//
//   load_client --target unix:/path --mode MODE [--in-flight N] [--seconds S] [--warm-up S]
//               [--count N] [--rate N] [--retry-after S] [--save FOLDER]
//
// Modes: acquire (ttl 1 s, never reported), pair (Acquire, then Report 200; one pair is one call of
// the figures, latency is that of the Acquire), cool (Acquire without model, then Report 429 with
// --retry-after). --count ends after so many calls, --rate starts so many a second however long
// they take. --save writes the last Grant and ReportResponse as FOLDER/grant.bin and
// FOLDER/report.bin. SIGTERM ends the run early, with the figures so far.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "absl/synchronization/mutex.h"
#include "credbroker/v1/broker.grpc.pb.h"

namespace credbroker::bench {
namespace {

using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t told_to_end = 0;

struct Options {
  std::string target, mode = "acquire", save;
  int in_flight = 1;
  double seconds = 1, warm_up = 0.2, rate = 0;
  int64_t count = std::numeric_limits<int64_t>::max();
  int retry_after = 600;
};

class Load {
 public:
  explicit Load(const Options& options);
  int Run();

 private:
  // One call after another; the next step of a pair is its Report.
  struct Lane {
    std::unique_ptr<grpc::ClientContext> context;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::Grant>> acquiring;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::ReportResponse>> reporting;
    v1::Grant grant;
    v1::ReportResponse report;
    grpc::Status status;
    Clock::time_point began;
    bool busy = false;
  };

  void Begin(Lane& lane);
  void Report(Lane& lane);
  void OnDone(Lane& lane);
  void Finished(Lane& lane);
  bool MayBegin() const;
  void BeginDue();
  void Print();
  void Save() const;

  const Options options_;
  std::unique_ptr<v1::BrokerService::Stub> stub_;
  grpc::CompletionQueue queue_;
  v1::AcquireRequest request_;
  v1::ReportRequest report_template_;
  std::vector<Lane> lanes_;
  Clock::time_point start_, measured_from_, stop_;
  int64_t begun_ = 0, done_ = 0, measured_ = 0, errors_ = 0;
  int out_ = 0;
  Clock::time_point last_;
  std::string first_error_;
  std::vector<uint32_t> nanoseconds_;
};

Clock::duration Span(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

Load::Load(const Options& options)
    : options_(options), lanes_(static_cast<size_t>(options.in_flight)) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  stub_ = v1::BrokerService::NewStub(
      grpc::CreateCustomChannel(options.target, grpc::InsecureChannelCredentials(), arguments));
  request_.add_providers("claude");
  if (options.mode != "cool") request_.set_model("claude-opus-4-1-20250805");
  if (options.mode == "acquire") request_.mutable_ttl()->set_seconds(1);
  v1::ReportItem* item = report_template_.add_items();
  item->set_http_status(options.mode == "cool" ? 429 : 200);
  if (options.mode == "cool") {
    v1::Header* header = item->add_headers();
    header->set_name("retry-after");
    header->set_value(std::to_string(options.retry_after));
  }
}

void Load::Begin(Lane& lane) {
  lane.context = std::make_unique<grpc::ClientContext>();
  lane.began = Clock::now();
  lane.context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  lane.busy = true;
  ++begun_;
  ++out_;
  lane.acquiring = stub_->AsyncAcquire(lane.context.get(), request_, &queue_);
  lane.acquiring->Finish(&lane.grant, &lane.status, &lane);
}

void Load::Report(Lane& lane) {
  report_template_.mutable_items(0)->set_lease_id(lane.grant.lease_id());
  lane.context = std::make_unique<grpc::ClientContext>();
  lane.context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  lane.reporting = stub_->AsyncReport(lane.context.get(), report_template_, &queue_);
  lane.reporting->Finish(&lane.report, &lane.status, &lane);
}

void Load::OnDone(Lane& lane) {
  const Clock::time_point now = Clock::now();
  if (lane.acquiring != nullptr) {
    lane.acquiring.reset();
    if (lane.began >= measured_from_) {
      nanoseconds_.push_back(static_cast<uint32_t>((now - lane.began).count()));
    }
    if (lane.status.ok() && options_.mode != "acquire") return Report(lane);
  }
  lane.reporting.reset();
  Finished(lane);
}

void Load::Finished(Lane& lane) {
  last_ = Clock::now();
  --out_;
  ++done_;
  lane.busy = false;
  if (last_ >= measured_from_) ++measured_;
  if (!lane.status.ok() && errors_++ == 0) first_error_ = lane.status.error_message();
  if (options_.rate == 0 && MayBegin()) Begin(lane);
}

bool Load::MayBegin() const {
  return begun_ < options_.count && told_to_end == 0 && Clock::now() < stop_;
}

// With a rate: starts what is due, as far as lanes are free.
void Load::BeginDue() {
  const double due = std::chrono::duration<double>(Clock::now() - start_).count() * options_.rate;
  for (Lane& lane : lanes_) {
    if (static_cast<double>(begun_) >= due || !MayBegin()) return;
    if (!lane.busy) Begin(lane);
  }
}

int Load::Run() {
  start_ = Clock::now();
  measured_from_ = start_ + Span(options_.warm_up);
  stop_ = measured_from_ + Span(options_.seconds);
  const bool paced = options_.rate > 0;
  if (!paced) {
    for (Lane& lane : lanes_) {
      if (MayBegin()) Begin(lane);
    }
  }
  while (out_ > 0 || (paced && MayBegin())) {
    if (paced) BeginDue();
    void* tag = nullptr;
    bool ok = false;
    const auto until = paced ? std::chrono::system_clock::now() + std::chrono::milliseconds(1)
                             : std::chrono::system_clock::now() + std::chrono::seconds(20);
    switch (queue_.AsyncNext(&tag, &ok, until)) {
      case grpc::CompletionQueue::GOT_EVENT:
        OnDone(*static_cast<Lane*>(tag));
        break;
      case grpc::CompletionQueue::TIMEOUT:
        if (!paced) return 1;
        break;
      case grpc::CompletionQueue::SHUTDOWN:
        return 1;
    }
  }
  Print();
  if (!options_.save.empty()) Save();
  queue_.Shutdown();
  return errors_ > done_ / 100 ? 1 : 0;
}

void Load::Print() {
  std::sort(nanoseconds_.begin(), nanoseconds_.end());
  auto at = [&](double share) {
    if (nanoseconds_.empty()) return 0.0;
    const auto last = static_cast<double>(nanoseconds_.size() - 1);
    return nanoseconds_[static_cast<size_t>(share * last)] / 1e3;
  };
  const double seconds = std::chrono::duration<double>(last_ - measured_from_).count();
  std::printf(
      "{\"calls\": %lld, \"all_calls\": %lld, \"seconds\": %.4f, \"per_second\": %.1f, "
      "\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, \"errors\": %lld, "
      "\"grant_bytes\": %zu}\n",
      static_cast<long long>(measured_), static_cast<long long>(done_), seconds,
      static_cast<double>(measured_) / seconds, at(0.5), at(0.99), at(0.999), at(1),
      static_cast<long long>(errors_), lanes_[0].grant.ByteSizeLong());
  if (errors_ > 0) std::fprintf(stderr, "load_client: first error: %s\n", first_error_.c_str());
}

void Load::Save() const {
  std::ofstream grant(options_.save + "/grant.bin", std::ios::binary);
  lanes_[0].grant.SerializeToOstream(&grant);
  std::ofstream report(options_.save + "/report.bin", std::ios::binary);
  lanes_[0].report.SerializeToOstream(&report);
}

bool Parse(int argc, char** argv, Options* options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--target")
      options->target = value;
    else if (name == "--mode")
      options->mode = value;
    else if (name == "--save")
      options->save = value;
    else if (name == "--in-flight")
      options->in_flight = std::atoi(value.c_str());
    else if (name == "--seconds")
      options->seconds = std::atof(value.c_str());
    else if (name == "--warm-up")
      options->warm_up = std::atof(value.c_str());
    else if (name == "--rate")
      options->rate = std::atof(value.c_str());
    else if (name == "--count")
      options->count = std::atoll(value.c_str());
    else if (name == "--retry-after")
      options->retry_after = std::atoi(value.c_str());
    else
      return false;
  }
  return argc % 2 == 1 && !options->target.empty() && options->in_flight > 0 &&
         (options->mode == "acquire" || options->mode == "pair" || options->mode == "cool");
}

}  // namespace
}  // namespace credbroker::bench

int main(int argc, char** argv) {
  credbroker::bench::Options options;
  if (!credbroker::bench::Parse(argc, argv, &options)) {
    std::fprintf(stderr, "load_client: unknown or incomplete option\n");
    return 2;
  }
  // As the server does: the packaged abseil's check for debugging is no part of what is measured.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  std::signal(SIGTERM, [](int) { credbroker::bench::told_to_end = 1; });
  return credbroker::bench::Load(options).Run();
}
