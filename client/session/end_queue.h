// What callers said about their leases, until the broker has processed it.
//
// Notes are sent in the order they came in. Each is kept until SessionResponse.processed covers its
// message; after a reconnect those that were not covered are sent again, under the leases' new
// numbers. Ends of leases the broker does not know any more are dropped.
//
// Thread-safety: the session's thread only. Callbacks are not called from here but collected for
// the owner to call (TakeAnswers).
#ifndef CREDBROKER_CLIENT_SESSION_END_QUEUE_H_
#define CREDBROKER_CLIENT_SESSION_END_QUEUE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "client/session/lease_book.h"
#include "client/session/record.h"
#include "credbroker/v1/session.pb.h"

namespace credbroker::client {

class EndQueue {
 public:
  struct Counts {
    // Ends accepted, and of them those that are over: processed or dropped.
    uint64_t queued = 0;
    uint64_t processed = 0;
    uint64_t dropped = 0;
    uint64_t trimmed = 0;
    uint64_t early_dropped = 0;
    uint64_t done() const { return processed + dropped; }
  };

  EndQueue(LeaseBook& book, int64_t max_report_bytes)
      : book_(book), max_report_bytes_(max_report_bytes) {}
  EndQueue(const EndQueue&) = delete;
  EndQueue& operator=(const EndQueue&) = delete;

  // Lets go of a transient doubt: there is no connection, and so nobody who judges it.
  void DropPassing(std::shared_ptr<const DoubtHold>& doubt);
  // Takes a note in. A note that ends its lease makes it kEnded; one about a lease that has ended
  // is ignored. REQUIRES: not kRenew.
  void Add(LeaseNote note);
  bool has_pending() const { return !pending_.empty(); }
  size_t pending() const { return pending_.size(); }
  // Reports are queued or unprocessed.
  bool HasOutcomes() const;
  // Nothing is queued or unprocessed.
  bool empty() const { return pending_.empty() && sent_.empty(); }
  const Counts& counts() const { return counts_; }

  // Moves up to `budget` notes into `message`, whose number is set. Returns how many. Those about
  // leases whose number is not known yet wait, and hold up no others.
  size_t Fill(v1::SessionRequest* message, size_t budget);
  // Everything up to this message was applied.
  void Processed(uint64_t number);
  void Result(const v1::SessionReportResult& result);

  // The stream is over: what was not processed is to be sent again.
  void Rewind();
  // What was sent and not processed keeps its outcome alone.
  void StripSent();
  // Before a hello: leases that ended without an outcome are simply not presented, and notices are
  // about a moment that has passed.
  void DropReleases();
  // Gives all up.
  void DropAll();
  // The broker has said what it did to the credentials of a stream that broke before it answered
  // their reports.
  void SettleDoubts();
  // Whether a doubt was settled since the last call.
  bool TakeSettled() { return std::exchange(settled_, false); }

  // Callbacks to call now, with their answers.
  std::vector<std::pair<ReportCallback, ReportAnswer>> TakeAnswers() {
    return std::exchange(answers_, {});
  }

 private:
  using Kind = LeaseNote::Kind;
  struct Entry {
    LeaseRecord* record = nullptr;
    // With another one the record is another lease's by now.
    uint64_t local_id = 0;
    Kind kind = Kind::kReleased;
    uint64_t message = 0;  // once sent
    std::unique_ptr<LeaseNote::Detail> detail;
    // Shared with results_, empty after it was called.
    std::shared_ptr<ReportCallback> done;
  };

  // A report that was sent and not answered.
  struct Unanswered {
    std::shared_ptr<ReportCallback> done;
    std::shared_ptr<const DoubtHold> doubt;
  };

  void Trim(LeaseNote::Detail& detail);
  void FillReport(Entry& entry, v1::SessionRequest* message);
  void Drop(Entry& entry);
  void Finish(Entry& entry);
  void Answer(const std::shared_ptr<ReportCallback>& done, ReportAnswer answer);

  LeaseBook& book_;
  const int64_t max_report_bytes_;
  int64_t bytes_ = 0;
  std::deque<Entry> pending_;
  std::deque<Entry> sent_;
  // By lease number, in order.
  absl::flat_hash_map<uint64_t, std::deque<Unanswered>> results_;
  // Of reports that were processed, but whose answer was lost with its stream.
  std::vector<std::shared_ptr<const DoubtHold>> doubts_;
  bool settled_ = false;
  std::vector<std::pair<ReportCallback, ReportAnswer>> answers_;
  Counts counts_;
};

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SESSION_END_QUEUE_H_
