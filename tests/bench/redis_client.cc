// Keeps a number of commands under way at a Redis that has lease.lua loaded, and prints what came
// of it like load_client.
//
//   redis_client SOCKET fill COUNT TOKEN_BYTES
//   redis_client SOCKET acquire|pair IN_FLIGHT SECONDS CONNECTIONS
//
// The commands are spread evenly over the connections and pipelined on each, every reply answered
// by the next command, all that is due in one write. One connection is Redis's best case; pooled
// clients, which most languages have, use one a command under way.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace credbroker::bench {
namespace {

using Clock = std::chrono::steady_clock;

// A connection with a parser that finds where a reply ends, and the first bulk string in it.
class Redis {
 public:
  explicit Redis(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      std::perror("redis_client: connect");
      std::exit(1);
    }
  }
  ~Redis() { close(fd_); }
  int fd() const { return fd_; }
  void Add(std::initializer_list<std::string_view> words) {
    out_ += "*" + std::to_string(words.size()) + "\r\n";
    for (const std::string_view word : words) {
      out_ += "$" + std::to_string(word.size()) + "\r\n";
      out_ += word;
      out_ += "\r\n";
    }
  }
  void Flush() {
    for (size_t sent = 0; sent < out_.size();) {
      const ssize_t n = write(fd_, out_.data() + sent, out_.size() - sent);
      if (n <= 0) std::exit(1);
      sent += static_cast<size_t>(n);
    }
    out_.clear();
  }
  // True and the next complete reply's first string, if it is here already.
  bool Next(std::string_view* first, bool* error) {
    size_t at = taken_;
    *first = {};
    *error = at < in_.size() && in_[at] == '-';
    if (!Skip(&at, first)) return false;
    taken_ = at;
    return true;
  }
  void Receive() {
    in_.erase(0, taken_);
    taken_ = 0;
    const size_t had = in_.size();
    in_.resize(had + 256 * 1024);
    const ssize_t n = read(fd_, in_.data() + had, in_.size() - had);
    if (n <= 0) std::exit(1);
    in_.resize(had + static_cast<size_t>(n));
  }

 private:
  bool Skip(size_t* at, std::string_view* first) {
    const size_t end = in_.find("\r\n", *at);
    if (end == std::string::npos) return false;
    const char kind = in_[*at];
    const long number = std::strtol(&in_[*at + 1], nullptr, 10);
    *at = end + 2;
    if (kind == '$' && number >= 0) {
      const auto size = static_cast<size_t>(number);
      if (in_.size() < *at + size + 2) return false;
      if (first->empty()) *first = std::string_view(in_).substr(*at, size);
      *at += size + 2;
    } else if (kind == '*') {
      for (long i = 0; i < number; ++i) {
        if (!Skip(at, first)) return false;
      }
    }
    return true;
  }

  const int fd_;
  std::string in_, out_;
  size_t taken_ = 0;
};

int Fill(Redis& redis, int count, size_t token_bytes) {
  const std::string token(token_bytes, 't');
  std::string_view first;
  bool error = false;
  int answered = 0;
  auto drain = [&](int until) {
    redis.Flush();
    while (answered < until) {
      while (answered < until && redis.Next(&first, &error)) {
        if (error) std::exit(1);
        ++answered;
      }
      if (answered < until) redis.Receive();
    }
  };
  for (int i = 0; i < count; ++i) {
    char id[32];
    std::snprintf(id, sizeof id, "claude-%07d", i);
    redis.Add({"HSET", std::string("cred:") + id, "token", token, "proxy", "", "base",
               "https://api.anthropic.com", "version", "1", "in_flight", "0", "cap", "0"});
    redis.Add({"ZADD", "avail", "0", id});
    if (i % 500 == 499) drain(2 * (i + 1));
  }
  drain(2 * count);
  std::printf("{\"filled\": %d}\n", count);
  return 0;
}

class Load {
 public:
  Load(const std::string& path, bool pair, int in_flight, double seconds, int connections)
      : pair_(pair),
        from_(Clock::now() + std::chrono::milliseconds(200)),
        stop_(from_ +
              std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds))) {
    for (int i = 0; i < connections; ++i) lanes_.push_back(std::make_unique<Lane>(path));
    for (int i = 0; i < in_flight; ++i) Acquire(*lanes_[static_cast<size_t>(i % connections)]);
  }

  int Run() {
    std::vector<pollfd> waits;
    for (const auto& lane : lanes_) {
      lane->redis.Flush();
      waits.push_back({lane->redis.fd(), POLLIN, 0});
    }
    while (out_ > 0) {
      // A single connection is read at once: that saves Redis's best case a system call.
      if (lanes_.size() > 1 && poll(waits.data(), waits.size(), -1) < 0) std::exit(1);
      for (size_t i = 0; i < lanes_.size(); ++i) {
        if (lanes_.size() == 1 || (waits[i].revents & POLLIN) != 0) OnReadable(*lanes_[i]);
      }
    }
    Print();
    return errors_ > all_ / 100 ? 1 : 0;
  }

 private:
  struct Sent {
    bool report;
    Clock::time_point at;
  };
  struct Lane {
    explicit Lane(const std::string& path) : redis(path) {}
    Redis redis;
    std::deque<Sent> sent;  // Redis answers in order
  };

  void Acquire(Lane& lane) {
    lane.redis.Add({"FCALL", "acquire", "0", pair_ ? "120000" : "1000"});
    lane.sent.push_back({false, Clock::now()});
    ++out_;
  }

  void OnReadable(Lane& lane) {
    lane.redis.Receive();
    std::string_view first;
    bool error = false;
    while (!lane.sent.empty() && lane.redis.Next(&first, &error)) {
      const Sent answered = lane.sent.front();
      lane.sent.pop_front();
      last_ = Clock::now();
      if (error) ++errors_;
      if (!answered.report && answered.at >= from_) {
        nanoseconds_.push_back(static_cast<uint32_t>((last_ - answered.at).count()));
      }
      if (pair_ && !answered.report && !error) {
        lane.redis.Add({"FCALL", "report", "0", first, "200"});
        lane.sent.push_back({true, last_});
        continue;
      }
      --out_;
      ++all_;
      if (last_ >= from_) ++done_;
      if (last_ < stop_) Acquire(lane);
    }
    lane.redis.Flush();
  }

  void Print() {
    std::sort(nanoseconds_.begin(), nanoseconds_.end());
    const double took = std::chrono::duration<double>(last_ - from_).count();
    std::printf(
        "{\"calls\": %lld, \"all_calls\": %lld, \"seconds\": %.4f, \"per_second\": %.1f, "
        "\"p50_us\": %.1f, \"p99_us\": %.1f, \"errors\": %lld}\n",
        static_cast<long long>(done_), static_cast<long long>(all_), took,
        static_cast<double>(done_) / took, nanoseconds_[nanoseconds_.size() / 2] / 1e3,
        nanoseconds_[nanoseconds_.size() * 99 / 100] / 1e3, static_cast<long long>(errors_));
  }

  const bool pair_;
  const Clock::time_point from_, stop_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  int64_t out_ = 0, done_ = 0, all_ = 0, errors_ = 0;
  Clock::time_point last_ = from_;
  std::vector<uint32_t> nanoseconds_;
};

}  // namespace
}  // namespace credbroker::bench

int main(int argc, char** argv) {
  using namespace credbroker::bench;
  const std::string what = argc > 2 ? argv[2] : "";
  if (what == "fill" && argc == 5) {
    Redis redis(argv[1]);
    return Fill(redis, std::atoi(argv[3]), static_cast<size_t>(std::atoi(argv[4])));
  }
  if ((what == "acquire" || what == "pair") && argc == 6 && std::atoi(argv[5]) > 0) {
    return Load(argv[1], what == "pair", std::atoi(argv[3]), std::atof(argv[4]), std::atoi(argv[5]))
        .Run();
  }
  std::fprintf(stderr, "redis_client: see the head of its source\n");
  return 2;
}
