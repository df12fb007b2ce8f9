// ListCredentials: pages in id order, or sorted by one key.
//
// The first page walks all rows to count them; its token carries the counts, so that the pages
// after it stop when they are full. Sorted lists walk all rows for each page and keep the best
// page_size of them: no list of the fleet is ever held.
#include <algorithm>
#include <array>
#include <queue>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/convert.h"
#include "server/rpc/filter.h"
#include "server/rpc/page_token.h"
#include "server/rpc/validate.h"

namespace credbroker::rpc {
namespace {

constexpr int kStep = 256;  // rows a hold of the pool's lock

struct Query {
  Filter filter;
  Order order;
  std::string group;
  v1::StateFilter state = v1::STATE_FILTER_AVAILABLE;
  size_t page_size = 100;

  bool StateMatches(core::State s) const {
    switch (state) {
      case v1::STATE_FILTER_ALL:
        return true;
      case v1::STATE_FILTER_WAITING:
        return s == core::State::kWaiting;
      case v1::STATE_FILTER_DISABLED:
        return s == core::State::kDisabled;
      default:
        return s == core::State::kAvailable;
    }
  }
  bool Matches(const core::CredentialRow& row) const {
    return (group.empty() || row.document->group == group) && filter.Matches(row);
  }
};

// A row's place in the order asked for.
struct Place {
  int64_t key = 0;
  std::string id;
};
struct Before {
  Order order;
  bool operator()(const Place& a, const Place& b) const {
    if (a.key != b.key) return order.descending ? a.key > b.key : a.key < b.key;
    return order.descending && order.key == Order::Key::kId ? a.id > b.id : a.id < b.id;
  }
};

// Available, waiting, disabled, busy, half-open, total.
using Counts = std::array<int64_t, 6>;

struct Page {
  std::vector<Place> rows;
  Counts counts{};
  bool more = false;
};

void Count(const core::CredentialRow& row, bool state_matches, Counts& counts) {
  ++counts[static_cast<size_t>(row.state)];
  if (row.state == core::State::kAvailable) {
    counts[3] += row.busy ? 1 : 0;
    counts[4] += row.half_open ? 1 : 0;
  }
  counts[5] += state_matches ? 1 : 0;
}

// In id order after `from`. Without `count` it stops one row after the page.
Page ById(const engine::Engine& engine, const Query& query, const std::string& from, bool count) {
  Page page;
  std::string after = count ? "" : from;
  do {
    after = engine.Scan(after, kStep, [&](const core::CredentialRow& row) {
      if (!query.Matches(row)) return true;
      const bool wanted = query.StateMatches(row.state);
      if (count) Count(row, wanted, page.counts);
      if (!wanted) return true;
      if (page.rows.size() < query.page_size) {
        page.rows.push_back({0, row.document->id});
      } else {
        page.more = true;
      }
      return count || !page.more;
    });
  } while (!after.empty() && (count || !page.more));
  return page;
}

// The page_size first rows behind `from` (null: from the start) in the order asked for.
Page Sorted(const engine::Engine& engine, const Query& query, const Place* from) {
  Page page;
  const Before before{query.order};
  // The worst of the best is on top.
  std::priority_queue<Place, std::vector<Place>, Before> best(before);
  std::string after;
  do {
    after = engine.Scan(after, kStep, [&](const core::CredentialRow& row) {
      if (!query.Matches(row)) return true;
      const bool wanted = query.StateMatches(row.state);
      Count(row, wanted, page.counts);
      if (!wanted) return true;
      const int64_t key = query.order.KeyOf(row);
      if (best.size() > query.page_size) {
        const int64_t worst = best.top().key;
        // Most rows end here, before a copy of their id.
        if (query.order.descending ? key < worst : key > worst) return true;
      }
      Place place{key, row.document->id};
      if (from != nullptr && !before(*from, place)) return true;
      best.push(std::move(place));
      if (best.size() > query.page_size + 1) best.pop();
      return true;
    });
  } while (!after.empty());
  page.more = best.size() > query.page_size;
  if (page.more) best.pop();
  while (!best.empty()) {
    page.rows.push_back(best.top());
    best.pop();
  }
  std::reverse(page.rows.begin(), page.rows.end());
  return page;
}

// Token parts: id, key, counts.
std::vector<std::string> TokenParts(const Place& last, const Counts& counts) {
  std::vector<std::string> parts = {last.id, absl::StrCat(last.key)};
  for (const int64_t count : counts) parts.push_back(absl::StrCat(count));
  return parts;
}

bool ReadToken(const std::vector<std::string>& parts, Place* last, Counts* counts) {
  if (parts.size() != 2 + counts->size()) return false;
  last->id = parts[0];
  bool good = absl::SimpleAtoi(parts[1], &last->key);
  for (size_t i = 0; i < counts->size(); ++i) {
    good = good && absl::SimpleAtoi(parts[i + 2], &(*counts)[i]);
  }
  return good;
}

std::string QueryText(const v1::ListCredentialsRequest& request) {
  return absl::StrCat("list\n", request.filter(), "\n", request.order_by(), "\n", request.state(),
                      "\n", request.group());
}

}  // namespace

void AdminService::List(const CallInfo&,
                        To<v1::ListCredentialsRequest, v1::ListCredentialsResponse> responder) {
  const v1::ListCredentialsRequest& request = responder.request();
  if (grpc::Status status = Validate(request); !status.ok()) return responder.Finish(status);
  Query query;
  absl::StatusOr<Filter> filter = Filter::Parse(request.filter(), Filter::Fields::kAll);
  if (!filter.ok()) {
    return responder.Finish(
        BadField("filter", filter.status().message(), v1::ERROR_REASON_INVALID_FILTER));
  }
  absl::StatusOr<Order> order = ParseOrder(request.order_by());
  if (!order.ok()) {
    return responder.Finish(
        BadField("order_by", order.status().message(), v1::ERROR_REASON_INVALID_FILTER));
  }
  query.filter = *std::move(filter);
  query.order = *order;
  query.group = request.group();
  if (request.state() != v1::STATE_FILTER_UNSPECIFIED) query.state = request.state();
  if (request.page_size() > 0) query.page_size = static_cast<size_t>(request.page_size());
  std::optional<Place> from;
  Counts counts{};
  if (!request.page_token().empty()) {
    from.emplace();
    const auto parts = DecodePageToken(QueryText(request), request.page_token());
    if (!parts.has_value() || !ReadToken(*parts, &*from, &counts)) {
      return responder.Finish(
          BadField("page_token",
                   "is not of this list: take next_page_token as it is, and change nothing else",
                   v1::ERROR_REASON_INVALID_PAGE_TOKEN));
    }
  }
  Defer(responder, [this, responder, query = std::move(query), from = std::move(from), counts] {
    const bool by_id = query.order.key == Order::Key::kId && !query.order.descending;
    Page page = by_id ? ById(engine_, query, from.has_value() ? from->id : "", !from.has_value())
                      : Sorted(engine_, query, from.has_value() ? &*from : nullptr);
    if (from.has_value()) page.counts = counts;
    v1::ListCredentialsResponse& out = responder.reply();
    for (const Place& place : page.rows) {
      // Deleted since: it is not there any more.
      if (const auto view = engine_.Get(place.id); view.has_value()) {
        FillCredential(*view, false, out.add_credentials());
      }
    }
    if (page.more) {
      out.set_next_page_token(EncodePageToken(QueryText(responder.request()),
                                              TokenParts(page.rows.back(), page.counts)));
    }
    out.mutable_counts()->set_available(page.counts[0]);
    out.mutable_counts()->set_waiting(page.counts[1]);
    out.mutable_counts()->set_disabled(page.counts[2]);
    out.mutable_counts()->set_busy(page.counts[3]);
    out.mutable_counts()->set_half_open(page.counts[4]);
    out.set_total_size(page.counts[5]);
    responder.Finish();
  });
}

}  // namespace credbroker::rpc
