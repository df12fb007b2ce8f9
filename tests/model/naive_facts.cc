#include "tests/model/naive_facts.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace credbroker::model {

core::AvailabilityRecord* NaiveScope::Find(core::Cause cause) {
  for (auto& r : records) {
    if (r.cause == cause) return &r;
  }
  return nullptr;
}

absl::Time NaiveScope::BlockUntil() const {
  absl::Time latest = kPast;
  for (const auto& r : records) latest = std::max(latest, r.block_until);
  return latest;
}

absl::Time NaiveScope::AvoidUntil() const {
  absl::Time latest = kPast;
  for (const auto& r : records) latest = std::max(latest, r.avoid_until);
  return latest;
}

void NaiveScope::Erase(core::Cause cause, absl::Time before) {
  std::vector<core::AvailabilityRecord> kept;
  for (auto& r : records) {
    const bool meant = cause == core::Cause::kNone || r.cause == cause;
    if (!meant || r.began >= before) kept.push_back(r);
  }
  records = std::move(kept);
}

namespace {

// "claude-x (high)" -> "claude-x".
std::string Bare(absl::string_view model) {
  std::string name(absl::StripAsciiWhitespace(model));
  if (name.empty() || name.back() != ')') return name;
  int depth = 0;
  for (size_t i = name.size(); i-- > 0;) {
    if (name[i] == ')') ++depth;
    if (name[i] == '(' && --depth == 0) {
      const std::string left(absl::StripAsciiWhitespace(name.substr(0, i)));
      return left.empty() ? name : left;
    }
  }
  return name;
}

template <typename List>
std::vector<std::string> Strings(const List& list) {
  std::vector<std::string> out;
  for (const auto& s : list) out.emplace_back(s);
  return out;
}

}  // namespace

NaiveCall::NaiveCall(const core::AcquireCommand& c)
    : principal(c.principal),
      group(c.group),
      model(Bare(c.model)),
      session(c.session_key),
      pin(c.credential_id),
      request_id(c.request_id),
      providers(Strings(c.providers)),
      excluded(Strings(c.excluded)),
      kind(c.kind),
      ttl(c.ttl),
      max_wait(c.max_wait),
      allow_probe(c.allow_probe),
      for_stock(c.for_stock),
      stream(c.session.number()) {
  if (for_stock) {
    session.clear();
    pin.clear();
    request_id.clear();
    max_wait = absl::ZeroDuration();
    allow_probe = false;
  }
  for (const auto& [key, value] : c.labels) {
    labels.emplace_back(std::string(key), std::string(value));
  }
}

std::string NaiveCall::Fingerprint() const {
  std::string all = absl::StrCat(GroupName(), "/", model, "/", session, "/", pin, "/",
                                 kind ? static_cast<int>(*kind) : -1, "/", allow_probe, "/",
                                 absl::FormatDuration(ttl));
  for (const auto& p : providers) absl::StrAppend(&all, "/p", p);
  for (const auto& e : excluded) absl::StrAppend(&all, "/e", e);
  for (const auto& [k, v] : labels) absl::StrAppend(&all, "/l", k, "=", v);
  return all;
}

int64_t NaiveBudget::Rate(int64_t second, bool dry) const {
  if (dry) return dry_rate;
  int64_t sum = 0;
  for (const auto& [at, count] : calls) {
    if (at > second - 60 && at <= second) sum += count;
  }
  return std::clamp<int64_t>(sum, 100, 3000);
}

int64_t NaiveBudget::FillAt(int64_t ns, int64_t rate) const {
  if (!started) return kFull;
  const int64_t elapsed = std::clamp<int64_t>(ns - filled_ns, 0, int64_t{60'000'000'000});
  return std::min(kFull, fill + elapsed * rate);
}

absl::Time NaiveBudget::Next(absl::Time now, bool dry) const {
  const int64_t start = absl::ToUnixNanos(now);
  for (int64_t second = start / 1'000'000'000;; ++second) {
    const int64_t from = std::max(start, second * 1'000'000'000);
    const int64_t rate = Rate(second, dry);
    if (FillAt(from, rate) >= kFull) return absl::FromUnixNanos(from);
    const int64_t at = filled_ns + (kFull - fill + rate - 1) / rate;
    if (at < (second + 1) * 1'000'000'000) return absl::FromUnixNanos(at);
  }
}

void NaiveBudget::Take(absl::Time now, bool dry) {
  if (!Has(now, dry)) throw Mismatch("a probe without a token");
  started = true;
  fill = 0;
  filled_ns = absl::ToUnixNanos(now);
}

}  // namespace credbroker::model
