// Promise: a client of the Session stream that does not read is cut, costs bounded memory, and
// nobody else notices. Against the real server, with a ttl of its sessions that is short.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <iostream>
#include <thread>
#include <vector>

#include "tests/rpc/session_rpc_fixture.h"

namespace credbroker::rpc {
namespace {

constexpr absl::Duration kTtl = absl::Seconds(1);
constexpr size_t kMaxMemory = size_t{64} << 20;  // PROMISES: of one that nobody reads

size_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  size_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

// A client of HTTP/2 that writes and never reads a byte: for the server, one that was stopped. It
// allows everything HTTP/2 can allow, so it is the socket that fills.
class DeafClient {
 public:
  explicit DeafClient(const std::string& socket_path)
      : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket_path.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    std::string out = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // INITIAL_WINDOW_SIZE and the connection's window: 2^31 - 1.
    Frame(out, kSettings, 0, 0, std::string("\x00\x04\x7f\xff\xff\xff", 6));
    Frame(out, kWindowUpdate, 0, 0, std::string("\x7f\xff\x00\x00", 4));
    std::string head = "\x83\x86";  // POST, http
    Field(head, "\x04", "/credbroker.v1.BrokerService/Session");
    Field(head, "\x01", "localhost");
    Field(head, std::string("\x00\x0c", 2) + "content-type", "application/grpc");
    Field(head, std::string("\x00\x02", 2) + "te", "trailers");
    Frame(out, kHeaders, kEndHeaders, 1, head);
    Send(out);
  }
  ~DeafClient() { ::close(fd_); }

  v1::SessionRequest Next() {
    v1::SessionRequest request;
    request.set_number(++number_);
    return request;
  }
  void Hello() {
    v1::SessionRequest request = Next();
    request.mutable_hello()->set_client("deaf");
    Write(request);
  }
  // As much stock as one message may ask for.
  void AskForMuch(bool declare) {
    v1::SessionRequest request = Next();
    if (declare) {
      request.add_targets()->set_target(1);
      request.mutable_targets(0)->add_providers("openai");
      request.mutable_targets(0)->set_model("gpt");
    }
    for (int i = 0; i < 8; ++i) {
      request.add_prefetches()->set_target(1);
      request.mutable_prefetches(i)->set_count(512);
    }
    Write(request);
  }
  void Write(const v1::SessionRequest& request) {
    const std::string bytes = request.SerializeAsString();
    ASSERT_LT(bytes.size(), 256u);
    std::string data("\0\0\0\0", 4);
    data += static_cast<char>(bytes.size());
    std::string out;
    Frame(out, kData, 0, 1, data + bytes);
    Send(out);
  }
  // Waits a moment, or less if the server closed the connection.
  void Pause() const {
    pollfd closed{.fd = fd_, .events = POLLRDHUP, .revents = 0};
    ::poll(&closed, 1, 20);
  }

 private:
  static constexpr char kData = 0, kHeaders = 1, kSettings = 4, kWindowUpdate = 8;
  static constexpr char kEndHeaders = 4;

  static void Frame(std::string& out, char type, char flags, char stream,
                    const std::string& payload) {
    out += '\0';
    out += static_cast<char>(payload.size() >> 8);
    out += static_cast<char>(payload.size());
    out += type;
    out += flags;
    out += std::string(3, '\0') + stream;
    out += payload;
  }
  static void Field(std::string& out, const std::string& name, const std::string& value) {
    out += name;
    out += static_cast<char>(value.size());
    out += value;
  }
  void Send(const std::string& bytes) const {
    EXPECT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }

  const int fd_;
  uint64_t number_ = 0;
};

class UnreadSessionTest : public SessionRpcTest {
 protected:
  UnreadSessionTest() {
    session::Terms terms;
    terms.ttl = terms.grace = kTtl;
    registry().SetTerms(terms);
    for (int i = 0; i < 32; ++i) EXPECT_TRUE(Create(absl::StrCat("c", i)).ok());
  }
  template <typename Condition>
  static bool Within(absl::Duration limit, Condition condition) {
    const absl::Time end = absl::Now() + limit;
    while (!condition()) {
      if (absl::Now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }
  // No stream is left of it, and its leases are others'.
  bool IsGone() {
    return server_->guards()[0]->in_flight(CallClass::kSession) == 0 && registry().open() == 0 &&
           engine_->Stats().pool.session_leases == 0;
  }
  // Somebody else, all the while.
  void ExpectOthersServed() {
    v1::Grant grant;
    EXPECT_TRUE(Acquire(&grant).ok());
    v1::ReportResponse reported;
    EXPECT_TRUE(Report(grant.lease_id(), 200, &reported).ok());
  }
  const session::Counters& counters() { return registry().counters(); }
};

TEST_F(UnreadSessionTest, AStoppedClientIsCutAndItsSlotsReturn) {
  const size_t before = ResidentBytes();
  DeafClient client(socket_);
  client.Hello();
  client.AskForMuch(true);
  for (int i = 0; i < 11; ++i) client.AskForMuch(false);
  ASSERT_TRUE(Within(absl::Seconds(20), [&] { return counters().stocked.value() >= 40'000; }));
  ExpectOthersServed();
  EXPECT_TRUE(Within(absl::Seconds(20), [&] { return IsGone(); }));
  EXPECT_EQ(counters().silent.value(), 1u);
  EXPECT_LT(ResidentBytes(), before + kMaxMemory);
  ExpectOthersServed();
}

TEST_F(UnreadSessionTest, AClientThatSendsAndNeverReadsIsCut) {
  const size_t before = ResidentBytes();
  DeafClient client(socket_);
  client.Hello();
  client.AskForMuch(true);
  for (int i = 0; i < 11; ++i) client.AskForMuch(false);
  ASSERT_TRUE(Within(absl::Seconds(20), [&] { return counters().stocked.value() >= 40'000; }));
  // It is heard all the time: what it did not read is what ends it.
  const bool cut = Within(absl::Seconds(20), [&] {
    v1::SessionRequest ping = client.Next();
    ping.set_ping(ping.number());
    client.Write(ping);
    client.Pause();
    return counters().cut.value() == 1;
  });
  EXPECT_TRUE(cut);
  EXPECT_EQ(counters().silent.value(), 0u);
  EXPECT_TRUE(Within(absl::Seconds(20), [&] { return IsGone(); }));
  EXPECT_LT(ResidentBytes(), before + kMaxMemory);
  ExpectOthersServed();
}
TEST_F(UnreadSessionTest, AClientThatNeverReadsIsCutAndCostsBoundedMemory) {
  Stream stream(*broker_);
  stream.Hello();
  stream.Stock(1);
  const size_t before = ResidentBytes();
  std::thread writer([&] {
    v1::SessionRequest request;
    do {
      request = stream.Next();
      for (uint64_t i = 1; i <= 500; ++i) {
        v1::SessionReport* report = request.add_reports();
        report->set_lease(i);
        report->mutable_item()->set_http_status(200);
      }
    } while (stream.Write(request));
  });
  // Its own writes stand still once the server reads no more of them, so it may be found silent
  // first.
  EXPECT_TRUE(Within(absl::Seconds(30),
                     [&] { return counters().cut.value() + counters().silent.value() == 1; }));
  EXPECT_TRUE(Within(absl::Seconds(20), [&] { return IsGone(); }));
  writer.join();
  std::cout << stream.number_ << " messages, " << (ResidentBytes() - before) / 1024 << " KiB, cut "
            << counters().cut.value() << "\n";
  EXPECT_LT(ResidentBytes(), before + kMaxMemory);
  const grpc::StatusCode code = stream.Status().error_code();
  EXPECT_TRUE(code == grpc::StatusCode::RESOURCE_EXHAUSTED ||
              code == grpc::StatusCode::DEADLINE_EXCEEDED || code == grpc::StatusCode::CANCELLED)
      << code;
  ExpectOthersServed();
}

}  // namespace
}  // namespace credbroker::rpc
