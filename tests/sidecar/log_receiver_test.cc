#include "client/sidecar/log_receiver.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <future>
#include <string>

#include "absl/strings/str_cat.h"

namespace credbroker::sidecar {
namespace {

class LogReceiverTest : public testing::Test {
 protected:
  LogReceiverTest() {
    std::string folder = testing::TempDir() + "logXXXXXX";
    folder_ = mkdtemp(folder.data());
  }
  ~LogReceiverTest() override { rmdir(folder_.c_str()); }

  std::string path() const { return folder_ + "/log.sock"; }
  void Send(const std::string& text) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path().c_str(), sizeof address.sun_path - 1);
    const http::FileDescriptor fd(socket(AF_UNIX, SOCK_DGRAM, 0));
    ASSERT_EQ(sendto(fd.get(), text.data(), text.size(), 0,
                     reinterpret_cast<const sockaddr*>(&address), sizeof address),
              static_cast<ssize_t>(text.size()));
  }

  std::string folder_;
};

TEST_F(LogReceiverTest, TakesDatagramsOfAUnixSocket) {
  pb::AccessLog config;
  config.mutable_unix_socket()->set_path(path());
  config.mutable_unix_socket()->set_mode("0600");
  std::promise<std::string> got;
  auto receiver = LogReceiver::Start(
      config, [&got](absl::string_view datagram) { got.set_value(std::string(datagram)); });
  ASSERT_TRUE(receiver.ok()) << receiver.status();
  struct stat info {};
  ASSERT_EQ(stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  Send("hello");
  EXPECT_EQ(got.get_future().get(), "hello");
  EXPECT_FALSE(LogReceiver::Start(config, [](absl::string_view) {}).ok()) << "one receiver a path";
  (*receiver)->Stop();
  EXPECT_NE(stat(path().c_str(), &info), 0);
}

TEST_F(LogReceiverTest, TakesDatagramsOfALoopbackPort) {
  pb::AccessLog config;
  config.set_udp("127.0.0.1:0");
  std::promise<std::string> got;
  auto receiver = LogReceiver::Start(
      config, [&got](absl::string_view datagram) { got.set_value(std::string(datagram)); });
  ASSERT_TRUE(receiver.ok()) << receiver.status();
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>((*receiver)->udp_port()));
  const http::FileDescriptor fd(socket(AF_INET, SOCK_DGRAM, 0));
  sendto(fd.get(), "line", 4, 0, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  EXPECT_EQ(got.get_future().get(), "line");
}

}  // namespace
}  // namespace credbroker::sidecar
