// Loads Session streams and prints what came of it as one line of JSON.
//
//   session_client --target unix:/path --mode MODE [--sessions N] [--batch N] [--in-flight N]
//                  [--seconds S] [--warm-up S] [--count N] [--save FILE]
//
// Modes: stock (each message reports the leases of an answer before and asks for as many new ones;
// latency is that of a message), acquire (the same with single acquires), revoke (one session
// reports 429 on --count credentials, one after the other; latency is from the answer to that
// report to the revocation on another session). A pair is one lease granted and reported. One
// thread and one completion queue, but for revoke. A single session is measured once it was told of
// every credential. --save writes the answer to one message of --batch items.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "credbroker/v1/broker.grpc.pb.h"

namespace credbroker::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Call = grpc::ClientAsyncReaderWriter<v1::SessionRequest, v1::SessionResponse>;

struct Options {
  std::string target, mode = "stock", save;
  int sessions = 1, batch = 32, in_flight = 4, count = 500;
  double seconds = 1, warm_up = 0.3;
};

Clock::duration Span(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

std::shared_ptr<grpc::Channel> Connect(const Options& options) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  return grpc::CreateCustomChannel(options.target, grpc::InsecureChannelCredentials(), arguments);
}

void AddTarget(v1::SessionRequest& request) {
  v1::SessionTarget* target = request.add_targets();
  target->set_target(1);
  target->add_providers("claude");
  target->set_model("claude-opus-4-1-20250805");
}

void PrintLatency(std::vector<uint32_t>& nanoseconds) {
  std::sort(nanoseconds.begin(), nanoseconds.end());
  const auto at = [&](double share) {
    if (nanoseconds.empty()) return 0.0;
    return nanoseconds[static_cast<size_t>(share * static_cast<double>(nanoseconds.size() - 1))] /
           1e3;
  };
  std::printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f", at(0.5), at(0.99), at(1));
}

// What all streams share.
struct Load {
  explicit Load(const Options& given) : options(given) {}
  const Options& options;
  grpc::CompletionQueue queue;
  void Begin(Clock::time_point now) {
    measured_from = now + Span(options.warm_up);
    stop = measured_from + Span(options.seconds);
  }
  Clock::time_point measured_from, stop;
  uint64_t pairs = 0, messages = 0, answers = 0, refused = 0;
  std::vector<uint32_t> nanoseconds;
  bool saved = false;
};

// One session: at most one read and one write in flight, `in_flight` messages unanswered.
class Lane {
 public:
  enum class Step : int { kStart, kRead, kWrite, kFinish };
  struct Event {
    Lane* lane;
    Step step;
  };
  Lane(Load& load, v1::BrokerService::Stub& stub)
      : load_(load), learning_(load.options.sessions == 1) {
    call_ = stub.PrepareAsyncSession(&context_, &load_.queue);
    call_->StartCall(&start_);
  }
  // False: the stream is over.
  bool On(Step step, bool ok) {
    switch (step) {
      case Step::kStart:
        if (!ok) return Finish();
        request_.set_number(++number_);
        request_.mutable_hello()->set_client("session_client");
        AddTarget(request_);
        Send();
        call_->Read(&response_, &read_);
        return true;
      case Step::kRead:
        if (!ok) return Finish();
        if (learning_) {
          Learn();
        } else {
          OnAnswer();
        }
        call_->Read(&response_, &read_);
        Go();
        return true;
      case Step::kWrite:
        writing_ = false;
        if (ok) Go();
        return true;
      case Step::kFinish:
        return false;
    }
    return false;
  }
  const grpc::Status& status() const { return status_; }

 private:
  bool Finish() {
    if (!finishing_) call_->Finish(&status_, &finish_);
    finishing_ = true;
    return true;
  }
  void Send() {
    writing_ = true;
    call_->Write(request_, &write_);
  }
  void Go() {
    if (writing_ || !welcome_ || closing_) return;
    if (learning_) {
      Study();
    } else {
      Fill();
    }
  }
  // Draws and reports, until nothing came that is new.
  void Study() {
    if (number_ > 1 && processed_ < number_) return;
    if (number_ > 1 && !news_) {
      learning_ = false;
      load_.Begin(Clock::now());
      return Fill();
    }
    request_.Clear();
    request_.set_number(++number_);
    request_.mutable_succeeded_leases()->Swap(&waiting_);
    waiting_.Clear();
    request_.add_prefetches()->set_target(1);
    request_.mutable_prefetches(0)->set_count(512);
    news_ = false;
    Send();
  }
  void Learn() {
    welcome_ = welcome_ || response_.has_welcome();
    processed_ = std::max(processed_, response_.processed());
    news_ = news_ || !response_.credentials().empty();
    for (const v1::SessionStock& stock : response_.stocks()) waiting_.MergeFrom(stock.leases());
    if (!news_ && processed_ == number_ && !waiting_.empty()) {
      granted_.emplace_back();
      granted_.back().Swap(&waiting_);
    }
  }
  // Sends as long as it may: a message for each that was answered.
  void Fill() {
    const Clock::time_point now = Clock::now();
    if (now >= load_.stop) {
      if (began_.empty()) {
        closing_ = true;
        call_->WritesDone(&write_);
      }
      return;
    }
    if (began_.size() >= static_cast<size_t>(load_.options.in_flight)) return;
    request_.Clear();
    request_.set_number(++number_);
    if (number_ % 256 == 0) request_.set_ping(number_);
    if (!granted_.empty()) {
      auto* leases = request_.mutable_succeeded_leases();
      leases->Swap(&granted_.front());
      granted_.pop_front();
    }
    if (load_.options.mode == "stock") {
      v1::SessionPrefetch* prefetch = request_.add_prefetches();
      prefetch->set_target(1);
      prefetch->set_count(static_cast<uint32_t>(load_.options.batch));
    } else {
      for (int i = 0; i < load_.options.batch; ++i) {
        v1::SessionAcquire* acquire = request_.add_acquires();
        acquire->set_call(++calls_);
        acquire->set_target(1);
      }
    }
    began_.push_back(now);
    Send();
  }
  void OnAnswer() {
    welcome_ = welcome_ || response_.has_welcome();
    const Clock::time_point now = Clock::now();
    for (v1::SessionStock& stock : *response_.mutable_stocks()) {
      load_.refused += stock.refused();
      granted_.emplace_back();
      granted_.back().Swap(stock.mutable_leases());
      Answered(now, granted_.back().size());
    }
    for (const v1::SessionGrant& grant : response_.grants()) {
      if (grant.has_refusal()) ++load_.refused;
      waiting_.Add(grant.lease());
      if (waiting_.size() < load_.options.batch) continue;
      granted_.emplace_back();
      granted_.back().Swap(&waiting_);
      Answered(now, load_.options.batch);
    }
    ++load_.answers;
    if (!load_.options.save.empty() && !load_.saved && load_.messages > 50 &&
        response_.credentials().empty() && response_.stocks_size() <= 1 &&
        (response_.stocks_size() == 1 || response_.grants_size() == load_.options.batch)) {
      load_.saved = true;
      std::ofstream file(load_.options.save, std::ios::binary);
      // Its leases were taken for the next report; as bytes any do.
      v1::SessionResponse whole = response_;
      for (v1::SessionStock& stock : *whole.mutable_stocks()) {
        *stock.mutable_leases() = granted_.back();
      }
      whole.SerializeToOstream(&file);
    }
  }
  void Answered(Clock::time_point now, int leases) {
    if (began_.empty()) return;
    if (began_.front() >= load_.measured_from && now < load_.stop) {
      load_.nanoseconds.push_back(static_cast<uint32_t>((now - began_.front()).count()));
      load_.pairs += static_cast<uint64_t>(leases);
      ++load_.messages;
    }
    began_.pop_front();
  }
  Load& load_;
  grpc::ClientContext context_;
  std::unique_ptr<Call> call_;
  grpc::Status status_;
  v1::SessionRequest request_;
  v1::SessionResponse response_;
  uint64_t number_ = 0, calls_ = 0;
  uint64_t processed_ = 0;
  bool learning_, news_ = true;
  bool writing_ = false, welcome_ = false, closing_ = false, finishing_ = false;
  std::deque<Clock::time_point> began_;
  std::deque<google::protobuf::RepeatedField<uint64_t>> granted_;
  google::protobuf::RepeatedField<uint64_t> waiting_;
  Event start_{this, Step::kStart}, read_{this, Step::kRead}, write_{this, Step::kWrite},
      finish_{this, Step::kFinish};
};

int RunLoad(const Options& options) {
  Load load(options);
  const auto stub = v1::BrokerService::NewStub(Connect(options));
  const Clock::time_point start = Clock::now();
  load.Begin(start);
  std::vector<std::unique_ptr<Lane>> lanes;
  for (int i = 0; i < options.sessions; ++i) lanes.push_back(std::make_unique<Lane>(load, *stub));
  int open = options.sessions, failed = 0;
  void* tag = nullptr;
  bool ok = false;
  while (open > 0 && load.queue.AsyncNext(
                         &tag, &ok, std::chrono::system_clock::now() + std::chrono::seconds(20)) ==
                         grpc::CompletionQueue::GOT_EVENT) {
    const Lane::Event& event = *static_cast<Lane::Event*>(tag);
    if (event.lane->On(event.step, ok)) continue;
    --open;
    if (!event.lane->status().ok()) {
      if (failed++ == 0) {
        std::fprintf(stderr, "session_client: %s\n", event.lane->status().error_message().c_str());
      }
    }
  }
  std::printf(
      "{\"pairs\": %llu, \"per_second\": %.1f, \"messages\": %llu, \"answers\": %llu, "
      "\"refused\": %llu, \"failed\": %d, ",
      static_cast<unsigned long long>(load.pairs),
      static_cast<double>(load.pairs) / options.seconds,
      static_cast<unsigned long long>(load.messages), static_cast<unsigned long long>(load.answers),
      static_cast<unsigned long long>(load.refused), failed);
  PrintLatency(load.nanoseconds);
  std::printf("}\n");
  return open == 0 && failed == 0 ? 0 : 1;
}

// One session read by a thread of its own, which notes when each credential was revoked.
class Reader {
 public:
  Reader(v1::BrokerService::Stub& stub, uint32_t stock) : call_(stub.Session(&context_)) {
    v1::SessionRequest request;
    request.set_number(1);
    request.mutable_hello()->set_client("session_client");
    AddTarget(request);
    while (stock > 0) {
      const uint32_t some = std::min<uint32_t>(stock, 512);
      request.add_prefetches()->set_target(1);
      request.mutable_prefetches(request.prefetches_size() - 1)->set_count(some);
      stock -= some;
    }
    call_->Write(request);
    thread_ = std::thread([this] { Run(); });
  }
  ~Reader() {
    context_.TryCancel();
    thread_.join();
  }
  // Waits until `done` under the lock.
  template <typename Done>
  bool Wait(Done done) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), done);
  }
  void Report(uint64_t lease) {
    v1::SessionRequest request;
    request.set_number(++number_);
    v1::SessionReport* report = request.add_reports();
    report->set_lease(lease);
    report->mutable_item()->set_http_status(429);
    v1::Header* header = report->mutable_item()->add_headers();
    header->set_name("retry-after");
    header->set_value("600");
    call_->Write(request);
  }

  std::map<std::string, uint64_t> leases;            // by credential id
  std::map<std::string, Clock::time_point> revoked;  // the same
  std::map<uint64_t, Clock::time_point> results;     // by lease
  uint64_t processed = 0, stocked = 0;

 private:
  void Run() {
    std::map<uint32_t, std::string> ids;
    v1::SessionResponse response;
    while (call_->Read(&response)) {
      const Clock::time_point now = Clock::now();
      std::lock_guard lock(mutex_);
      for (const auto& credential : response.credentials()) {
        ids[credential.credential()] = credential.credential_id();
      }
      for (const auto& stock : response.stocks()) {
        stocked += static_cast<uint64_t>(stock.leases_size());
        for (int i = 0; i < stock.leases_size(); ++i) {
          leases[ids[stock.credentials(i)]] = stock.leases(i);
        }
      }
      for (const auto& revocation : response.revocations()) {
        revoked.emplace(ids[revocation.credential()], now);
      }
      for (const auto& result : response.results()) results.emplace(result.lease(), now);
      processed = std::max(processed, response.processed());
      changed_.notify_all();
    }
  }

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::SessionRequest, v1::SessionResponse>> call_;
  uint64_t number_ = 1;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::thread thread_;
};

int RunRevoke(const Options& options) {
  const auto stub_a = v1::BrokerService::NewStub(Connect(options));
  const auto stub_b = v1::BrokerService::NewStub(Connect(options));
  // Each draws more than there are credentials to revoke, so that both know all of them.
  const auto stock = static_cast<uint32_t>(options.count * 2);
  Reader a(*stub_a, stock), b(*stub_b, stock);
  if (!a.Wait([&] { return a.processed >= 1; }) || !b.Wait([&] { return b.processed >= 1; })) {
    std::fprintf(stderr, "session_client: no stock\n");
    return 1;
  }
  std::vector<uint32_t> nanoseconds;
  int missing = 0;
  for (const auto& [id, lease] : std::map<std::string, uint64_t>(a.leases)) {
    if (nanoseconds.size() + static_cast<size_t>(missing) >= static_cast<size_t>(options.count))
      break;
    if (b.leases.count(id) == 0) continue;
    a.Report(lease);
    if (!a.Wait([&, l = lease] { return a.results.count(l) != 0; }) ||
        !b.Wait([&, name = id] { return b.revoked.count(name) != 0; })) {
      ++missing;
      continue;
    }
    const auto late = b.revoked[id] - a.results[lease];
    nanoseconds.push_back(late.count() < 0 ? 0 : static_cast<uint32_t>(late.count()));
  }
  std::printf("{\"revocations\": %zu, \"missing\": %d, ", nanoseconds.size(), missing);
  PrintLatency(nanoseconds);
  std::printf("}\n");
  return missing == 0 ? 0 : 1;
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
    else if (name == "--sessions")
      options->sessions = std::atoi(value.c_str());
    else if (name == "--batch")
      options->batch = std::atoi(value.c_str());
    else if (name == "--in-flight")
      options->in_flight = std::atoi(value.c_str());
    else if (name == "--count")
      options->count = std::atoi(value.c_str());
    else if (name == "--seconds")
      options->seconds = std::atof(value.c_str());
    else if (name == "--warm-up")
      options->warm_up = std::atof(value.c_str());
    else
      return false;
  }
  return argc % 2 == 1 && !options->target.empty() && options->sessions > 0 && options->batch > 0 &&
         options->batch <= 64 && options->in_flight > 0 &&
         (options->mode == "stock" || options->mode == "acquire" || options->mode == "revoke");
}

}  // namespace
}  // namespace credbroker::bench

int main(int argc, char** argv) {
  credbroker::bench::Options options;
  if (!credbroker::bench::Parse(argc, argv, &options)) {
    std::fprintf(stderr, "session_client: unknown or incomplete option\n");
    return 2;
  }
  return options.mode == "revoke" ? credbroker::bench::RunRevoke(options)
                                  : credbroker::bench::RunLoad(options);
}
