// Every lease and credential of a session, by the names the stream has for them.
//
// Thread-safety: the session's thread only; records are read by others as record.h says.
#ifndef CREDBROKER_CLIENT_SESSION_LEASE_BOOK_H_
#define CREDBROKER_CLIENT_SESSION_LEASE_BOOK_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "client/session/record.h"
#include "client/session/wire_time.h"
#include "credbroker/v1/session.pb.h"

namespace credbroker::client {

class LeaseBook {
 public:
  // `slab` is where the records are, empty yet. It outlives this, as long as there are leases.
  LeaseBook(size_t max_leases, std::deque<LeaseRecord>& slab)
      : max_leases_(max_leases), slab_(slab) {}
  LeaseBook(const LeaseBook&) = delete;
  LeaseBook& operator=(const LeaseBook&) = delete;

  // --- Leases ---

  // A record with a new local_id, place kStock; null when there are max_leases already.
  LeaseRecord* New();
  // REQUIRES: nobody refers to it any more but by local_id.
  void Free(LeaseRecord* record);
  size_t size() const { return size_; }
  bool full() const { return size_ >= max_leases_; }
  // The record is known under `number` from now on.
  void SetNumber(LeaseRecord* record, uint64_t number);
  // Null: none of this stream.
  LeaseRecord* Find(uint64_t number) const;
  void ForEach(const std::function<void(LeaseRecord&)>& visit);
  // The stream ended: what was kKnown is kAwaiting, numbers and indexes mean nothing any more.
  void ForgetStream();
  // For the hello of the next stream: a number of its own for a lease that never had one, and the
  // record by the number it is presented under.
  void Present(LeaseRecord* record);
  // The record presented under `number`, once; null: none.
  LeaseRecord* TakePresented(uint64_t number);
  size_t presented() const { return presented_.size(); }
  // Those that were presented and not answered.
  std::vector<LeaseRecord*> TakeAllPresented();

  // --- Credentials ---

  struct NewMaterial {
    std::shared_ptr<Credential> credential;
    std::shared_ptr<const Material> material;
  };
  // Takes a credential of the stream in, and wipes the message's secrets. The result's material is
  // to be installed under the locks of the shards; null: nothing to install.
  NewMaterial Announce(v1::SessionCredential* wire, const BrokerTime& time);
  // Null: the stream has no such index.
  const std::shared_ptr<Credential>& ByIndex(uint32_t index) const;
  // Those that the stream named so far.
  absl::flat_hash_set<const Credential*> Named() const;
  // The session is a new one to the broker: its orders begin anew.
  void ForgetOrders();
  // Credentials that nobody refers to and this stream did not name.
  void Prune();
  // One copy of each upstream name.
  std::shared_ptr<const std::string> Intern(const std::string& name);

 private:
  const size_t max_leases_;
  std::deque<LeaseRecord>& slab_;
  std::vector<LeaseRecord*> free_;
  size_t size_ = 0;
  uint64_t last_local_id_ = 0;
  uint32_t last_invented_ = 0;
  absl::flat_hash_map<uint64_t, LeaseRecord*> by_number_;
  absl::flat_hash_map<uint64_t, LeaseRecord*> presented_;
  absl::flat_hash_map<std::string, std::shared_ptr<Credential>> by_uid_;
  absl::flat_hash_map<uint32_t, std::shared_ptr<Credential>> by_index_;
  absl::flat_hash_map<std::string, std::shared_ptr<const std::string>> names_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_LEASE_BOOK_H_
