// Takes syslog datagrams from a unix socket and a loopback port and hands each to a function.
//
// A unix socket's sender is asked for by the kernel: datagrams of a uid that is not admitted are
// dropped and counted. Whoever can send to the loopback port is believed; a lease's id is what it
// has to know.
//
// Thread-safety: Start and Stop by one thread; the rest from any. `take` runs on one thread.
#ifndef CREDBROKER_CLIENT_SIDECAR_LOG_RECEIVER_H_
#define CREDBROKER_CLIENT_SIDECAR_LOG_RECEIVER_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "credbroker/sidecar/v1/config.pb.h"
#include "server/http/file_descriptor.h"

namespace credbroker::sidecar {

namespace pb = ::credbroker::sidecar::v1;

class LogReceiver {
 public:
  using Take = std::function<void(absl::string_view datagram)>;
  // FAILED_PRECONDITION: somebody listens there; UNAVAILABLE: the system refused.
  static absl::StatusOr<std::unique_ptr<LogReceiver>> Start(const pb::AccessLog& config, Take take);
  ~LogReceiver() { Stop(); }
  LogReceiver(const LogReceiver&) = delete;
  LogReceiver& operator=(const LogReceiver&) = delete;

  // Idempotent; removes the socket file.
  void Stop();

  int udp_port() const { return udp_port_; }  // 0: none
  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  explicit LogReceiver(Take take);
  absl::Status OpenUnix(const pb::UnixSocket& socket);
  absl::Status OpenUdp(const std::string& address);
  void Run();
  // Everything that has come to one socket, in bounded pieces.
  void Drain(int fd, bool check_sender, std::vector<char>& buffer);

  const Take take_;
  const http::FileDescriptor wake_;
  http::FileDescriptor unix_;
  http::FileDescriptor udp_;
  int udp_port_ = 0;
  std::string path_;
  std::vector<uid_t> uids_;
  std::atomic<uint64_t> dropped_{0};
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_LOG_RECEIVER_H_
