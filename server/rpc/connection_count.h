// ConnectionCount: how many of a listener's connections are open.
//
// A connection's descriptor belongs to gRPC, which closes it without a word. So what is remembered
// of each is which socket it was: once the number stands for nothing, or for another one, it has
// ended. The ended ones are looked for only when the limit seems to be reached.
//
// Thread-compatible.
#ifndef CREDBROKER_SERVER_RPC_CONNECTION_COUNT_H_
#define CREDBROKER_SERVER_RPC_CONNECTION_COUNT_H_

#include <sys/types.h>

#include <cstddef>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace credbroker::rpc {

class ConnectionCount {
 public:
  explicit ConnectionCount(size_t max) : max_(max) {}

  // Counts the open socket `fd`. False: it would be one more than `max`, and is not counted.
  bool Add(int fd);

 private:
  using Socket = std::pair<dev_t, ino_t>;
  void ForgetEnded();

  const size_t max_;
  absl::flat_hash_map<int, Socket> sockets_;  // by descriptor
};

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_CONNECTION_COUNT_H_
