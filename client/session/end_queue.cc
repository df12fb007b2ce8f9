#include "client/session/end_queue.h"

#include <algorithm>
#include <iterator>

#include "credbroker/client/secret.h"

namespace credbroker::client {
namespace {

// Of report details in one message: far below what a broker receives by default.
constexpr int64_t kMaxMessageBytes = 1 << 20;

bool HasOutcome(LeaseNote::Kind kind) {
  return kind == LeaseNote::Kind::kSucceeded || kind == LeaseNote::Kind::kReported;
}

void WipeDetail(LeaseNote::Detail& detail) {
  WipeString(*detail.item.mutable_body_excerpt());
  for (v1::Header& header : *detail.item.mutable_headers()) WipeString(*header.mutable_value());
}

ReportAnswer ToAnswer(const v1::ReportResult& result) {
  ReportAnswer answer;
  answer.disposition = result.disposition();
  answer.advice = result.advice();
  answer.outcome = result.outcome();
  answer.state = result.state();
  answer.cause = result.cause();
  if (result.has_next_recover_time()) {
    answer.next_recover_time = FromWire(result.next_recover_time());
  }
  answer.credential_id = result.credential_id();
  return answer;
}

ReportAnswer Undelivered() {
  ReportAnswer answer;
  answer.disposition = v1::REPORT_DISPOSITION_UNKNOWN;
  return answer;
}

}  // namespace

void EndQueue::Answer(const std::shared_ptr<ReportCallback>& done, ReportAnswer answer) {
  if (done == nullptr || *done == nullptr) return;
  answers_.emplace_back(std::exchange(*done, nullptr), std::move(answer));
}

void EndQueue::Trim(LeaseNote::Detail& detail) {
  if (bytes_ + detail.bytes <= max_report_bytes_) return;
  WipeDetail(detail);
  detail.item.clear_headers();
  detail.item.clear_body_excerpt();
  detail.bytes = 0;
  ++counts_.trimmed;
}

void EndQueue::Add(LeaseNote note) {
  LeaseRecord* record = note.record;
  if (record->local_id != note.local_id) return;
  const Place place = record->place.load(std::memory_order_relaxed);
  if (place != Place::kInUse && place != Place::kStock) return;
  Entry entry{.record = record,
              .local_id = note.local_id,
              .kind = note.kind,
              .detail = std::move(note.detail)};
  if (entry.detail != nullptr && entry.detail->done != nullptr) {
    entry.done = std::make_shared<ReportCallback>(std::move(entry.detail->done));
  }
  if (entry.kind == Kind::kEarly) {
    if (bytes_ + entry.detail->bytes > max_report_bytes_) {
      ++counts_.early_dropped;
      Answer(entry.done, Undelivered());
      settled_ = true;
      return;
    }
  } else {
    record->place.store(Place::kEnded, std::memory_order_relaxed);
    ++counts_.queued;
    if (entry.detail != nullptr) Trim(*entry.detail);
  }
  if (entry.detail != nullptr) bytes_ += entry.detail->bytes;
  pending_.push_back(std::move(entry));
}

void EndQueue::FillReport(Entry& entry, v1::SessionRequest* message) {
  v1::SessionReport* report = message->add_reports();
  report->set_lease(entry.record->number);
  if (entry.detail != nullptr) *report->mutable_item() = entry.detail->item;
  results_[entry.record->number].push_back(
      {entry.done, entry.detail == nullptr ? nullptr : entry.detail->doubt});
}

size_t EndQueue::Fill(v1::SessionRequest* message, size_t budget) {
  size_t count = 0;
  int64_t bytes = 0;
  std::vector<const LeaseRecord*> noticed;  // early, in this message
  std::deque<Entry> unnamed;
  while (!pending_.empty() && count < budget && bytes < kMaxMessageBytes) {
    Entry entry = std::move(pending_.front());
    pending_.pop_front();
    // Only a notice can be left behind by its lease. What it says is not about the next one.
    if (entry.record->local_id != entry.local_id) {
      Drop(entry);
      continue;
    }
    if (entry.record->standing == Standing::kAwaiting) {
      unnamed.push_back(std::move(entry));
      continue;
    }
    if (entry.record->standing != Standing::kKnown) {
      Drop(entry);
      continue;
    }
    switch (entry.kind) {
      case Kind::kSucceeded:
        // Within a message successes are applied before reports: a notice would come too late.
        if (std::find(noticed.begin(), noticed.end(), entry.record) != noticed.end()) {
          FillReport(entry, message);
          message->mutable_reports(message->reports_size() - 1)
              ->mutable_item()
              ->set_outcome(v1::OUTCOME_SUCCESS);
        } else {
          message->add_succeeded_leases(entry.record->number);
        }
        break;
      case Kind::kEarly:
        noticed.push_back(entry.record);
        FillReport(entry, message);
        break;
      case Kind::kReported:
        FillReport(entry, message);
        break;
      case Kind::kExpired:
        message->set_expired_count(message->expired_count() + 1);
        message->add_released_leases(entry.record->number);
        break;
      case Kind::kReleased:
      case Kind::kReturned:
      case Kind::kRenew:
        message->add_released_leases(entry.record->number);
        break;
    }
    if (entry.detail != nullptr) bytes += entry.detail->bytes;
    entry.message = message->number();
    sent_.push_back(std::move(entry));
    ++count;
  }
  pending_.insert(pending_.begin(), std::make_move_iterator(unnamed.begin()),
                  std::make_move_iterator(unnamed.end()));
  return count;
}

void EndQueue::Finish(Entry& entry) {
  if (entry.detail != nullptr) {
    bytes_ -= entry.detail->bytes;
    WipeDetail(*entry.detail);
    settled_ = settled_ || entry.detail->doubt != nullptr;
    entry.detail->doubt = nullptr;
  }
  if (entry.kind != Kind::kEarly) book_.Free(entry.record);
}

void EndQueue::Drop(Entry& entry) {
  if (entry.kind == Kind::kEarly) {
    ++counts_.early_dropped;
  } else if (HasOutcome(entry.kind)) {
    ++counts_.dropped;
  } else {
    ++counts_.processed;  // a lease the broker does not have is as good as released
  }
  Answer(entry.done, Undelivered());
  Finish(entry);
}

void EndQueue::Processed(uint64_t number) {
  while (!sent_.empty() && sent_.front().message <= number) {
    Entry& entry = sent_.front();
    if (entry.kind != Kind::kEarly) ++counts_.processed;
    Finish(entry);
    sent_.pop_front();
  }
}

void EndQueue::Result(const v1::SessionReportResult& result) {
  const auto found = results_.find(result.lease());
  if (found == results_.end()) return;
  Answer(found->second.front().done, ToAnswer(result.result()));
  settled_ = settled_ || found->second.front().doubt != nullptr;
  found->second.pop_front();
  if (found->second.empty()) results_.erase(found);
}

void EndQueue::StripSent() {
  for (Entry& entry : sent_) {
    if (entry.detail == nullptr) continue;
    bytes_ -= std::exchange(entry.detail->bytes, 0);
    WipeDetail(*entry.detail);
    v1::ReportItem bare;
    bare.set_outcome(entry.detail->item.outcome());
    bare.set_http_status(entry.detail->item.http_status());
    entry.detail->item = std::move(bare);
    ++counts_.trimmed;
  }
}

bool EndQueue::HasOutcomes() const {
  const auto has = [](const Entry& entry) { return HasOutcome(entry.kind); };
  return std::any_of(pending_.begin(), pending_.end(), has) ||
         std::any_of(sent_.begin(), sent_.end(), has);
}

void EndQueue::Rewind() {
  std::deque<Entry> again;
  for (Entry& entry : sent_) {
    // A notice is about a moment that has passed.
    if (entry.kind == Kind::kEarly) {
      Drop(entry);
    } else {
      again.push_back(std::move(entry));
    }
  }
  sent_.clear();
  std::move(pending_.begin(), pending_.end(), std::back_inserter(again));
  pending_ = std::move(again);
  // Processed, but the answer was lost.
  for (auto& [number, reports] : results_) {
    for (Unanswered& report : reports) {
      if (report.done != nullptr && report.done.use_count() == 1) {
        Answer(report.done, Undelivered());
      }
      // The next stream begins with what became of the credentials meanwhile.
      if (report.doubt != nullptr) doubts_.push_back(std::move(report.doubt));
    }
  }
  results_.clear();
  for (Entry& entry : pending_) {
    if (entry.detail != nullptr) DropPassing(entry.detail->doubt);
  }
  for (std::shared_ptr<const DoubtHold>& doubt : doubts_) DropPassing(doubt);
  std::erase(doubts_, nullptr);
  settled_ = true;
}

void EndQueue::DropPassing(std::shared_ptr<const DoubtHold>& doubt) {
  if (doubt == nullptr || doubt->doubt() != Doubt::kTransient) return;
  doubt = nullptr;
  settled_ = true;
}

void EndQueue::SettleDoubts() {
  settled_ = settled_ || !doubts_.empty();
  doubts_.clear();
}

void EndQueue::DropReleases() {
  std::deque<Entry> kept;
  for (Entry& entry : pending_) {
    // A notice goes too: the end of its lease may be among those that free its record.
    if (HasOutcome(entry.kind)) {
      kept.push_back(std::move(entry));
    } else {
      Drop(entry);
    }
  }
  pending_ = std::move(kept);
}

void EndQueue::DropAll() {
  Rewind();
  for (Entry& entry : pending_) Drop(entry);
  pending_.clear();
}

}  // namespace credbroker::client
