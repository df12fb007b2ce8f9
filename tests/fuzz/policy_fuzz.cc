// Whatever a proxy reports and whatever an operator configures, a verdict is one the pool can
// apply. Classify() itself checks its promises; here they only have to be reached.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/policy.h"

namespace {

using namespace credbroker::core;  // NOLINT: one file, one subject

// Takes numbers and texts off the front of the input; zero and empty when it is used up.
class Feed {
 public:
  Feed(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint32_t Number(uint32_t below) {
    uint32_t n = 0;
    for (int i = 0; i < 2 && size_ > 0; ++i, ++data_, --size_) n = n * 256 + *data_;
    return n % below;
  }
  std::string Text() {
    const size_t n = std::min<size_t>(Number(64), size_);
    std::string text(reinterpret_cast<const char*>(data_), n);
    data_ += n;
    size_ -= n;
    return text;
  }
  std::string Rest() { return std::string(reinterpret_cast<const char*>(data_), size_); }

 private:
  const uint8_t* data_;
  size_t size_;
};

PolicyRow TakeRow(Feed& feed) {
  PolicyRow row;
  row.name = "row";
  if (feed.Number(2) == 0) row.statuses = {static_cast<int>(feed.Number(700))};
  row.error_codes = {feed.Text()};
  row.body_contains = feed.Text();
  row.header_name = feed.Text();
  row.scope = static_cast<Scope>(feed.Number(6));
  row.action = static_cast<Action>(feed.Number(4));
  row.cause = static_cast<Cause>(feed.Number(kCauseCount));
  if (feed.Number(2) == 0) row.duration = absl::Seconds(feed.Number(60'000));
  row.ladder.first = absl::Seconds(feed.Number(100));
  row.ladder.max = absl::Seconds(feed.Number(1000));
  row.disable_after = static_cast<int>(feed.Number(5));
  return row;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const PolicyTable* const built_in = new PolicyTable;
  static const char* const kProviders[] = {"openai", "gemini", "claude", "xai", "acme"};
  Feed feed(data, size);
  const auto table =
      PolicyTable::Create({{.provider = "acme", .rows = {TakeRow(feed), PolicyRow()}}});
  CB_CHECK(!table.ok());  // the second row has no name
  const auto one = PolicyTable::Create({{.provider = "acme", .rows = {TakeRow(feed)}}});

  ReportFacts facts;
  facts.stated = static_cast<Outcome>(feed.Number(kOutcomeCount));
  if (feed.Number(2) == 0) facts.stated = Outcome::kOther;
  facts.http_status = static_cast<int>(feed.Number(1000)) - 100;
  const std::string code = feed.Text();
  std::vector<std::pair<std::string, std::string>> headers = {{feed.Text(), feed.Text()},
                                                              {"retry-after", feed.Text()}};
  const char* provider = kProviders[feed.Number(5)];
  const Kind kind = static_cast<Kind>(feed.Number(3));
  const bool refreshable = feed.Number(2) == 0, model_named = feed.Number(2) == 0;
  const std::string body = feed.Rest();
  facts.error_code = code;
  facts.headers = headers;
  facts.body = body;
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  for (const PolicyTable* t : {built_in, one.ok() ? one->get() : built_in}) {
    const Verdict v = t->Classify(provider, kind, refreshable, model_named, facts, now);
    CB_CHECK(model_named || (v.scope != Scope::kModel && v.scope != Scope::kProviderModel));
    CB_CHECK(refreshable || v.action != Action::kRefresh);
  }
  return 0;
}
