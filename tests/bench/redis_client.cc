// Keeps a number of commands pipelined on one connection to a Redis that has lease.lua loaded, and
// prints what came of it like load_client.
//
//   redis_client SOCKET fill COUNT TOKEN_BYTES
//   redis_client SOCKET acquire|pair IN_FLIGHT SECONDS
//
// One connection, every reply answered by the next command, all that is due in one write: Redis's
// best case.
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

int Load(Redis& redis, bool pair, int in_flight, double seconds) {
  struct Sent {
    bool report;
    Clock::time_point at;
  };
  std::deque<Sent> sent;  // Redis answers in order
  std::vector<uint32_t> nanoseconds;
  const char* const ttl = pair ? "120000" : "1000";
  auto acquire = [&] {
    redis.Add({"FCALL", "acquire", "0", ttl});
    sent.push_back({false, Clock::now()});
  };
  const Clock::time_point from = Clock::now() + std::chrono::milliseconds(200);
  const Clock::time_point stop =
      from + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  for (int i = 0; i < in_flight; ++i) acquire();
  int64_t done = 0, all = 0, errors = 0;
  Clock::time_point last = from;
  while (!sent.empty()) {
    redis.Flush();
    redis.Receive();
    std::string_view first;
    bool error = false;
    while (!sent.empty() && redis.Next(&first, &error)) {
      const Sent answered = sent.front();
      sent.pop_front();
      last = Clock::now();
      if (error) ++errors;
      if (!answered.report && answered.at >= from) {
        nanoseconds.push_back(static_cast<uint32_t>((last - answered.at).count()));
      }
      if (pair && !answered.report && !error) {
        redis.Add({"FCALL", "report", "0", first, "200"});
        sent.push_back({true, last});
        continue;
      }
      ++all;
      if (last >= from) ++done;
      if (last < stop) acquire();
    }
  }
  std::sort(nanoseconds.begin(), nanoseconds.end());
  const double took = std::chrono::duration<double>(last - from).count();
  std::printf(
      "{\"calls\": %lld, \"all_calls\": %lld, \"seconds\": %.4f, \"per_second\": %.1f, "
      "\"p50_us\": %.1f, \"p99_us\": %.1f, \"errors\": %lld}\n",
      static_cast<long long>(done), static_cast<long long>(all), took,
      static_cast<double>(done) / took, nanoseconds[nanoseconds.size() / 2] / 1e3,
      nanoseconds[nanoseconds.size() * 99 / 100] / 1e3, static_cast<long long>(errors));
  return errors > all / 100 ? 1 : 0;
}

}  // namespace
}  // namespace credbroker::bench

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "redis_client: see the head of its source\n");
    return 2;
  }
  credbroker::bench::Redis redis(argv[1]);
  const std::string what = argv[2];
  if (what == "fill") {
    return credbroker::bench::Fill(redis, std::atoi(argv[3]),
                                   static_cast<size_t>(std::atoi(argv[4])));
  }
  return credbroker::bench::Load(redis, what == "pair", std::atoi(argv[3]), std::atof(argv[4]));
}
