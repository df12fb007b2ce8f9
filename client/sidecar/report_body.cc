#include "client/sidecar/report_body.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "client/sidecar/check_request.h"
#include "client/sidecar/json_input.h"

namespace credbroker::sidecar {
namespace {

using nlohmann::json;

constexpr size_t kMaxItems = 256;
constexpr absl::string_view kFields[] = {"lease",         "status",  "outcome", "error_code",
                                         "network_error", "headers", "body",    "early"};

absl::Status Bad(absl::string_view field, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", what));
}

absl::Status ReadWords(const json& object, api::ReportItem* item) {
  const auto outcome = TextOf(object, "outcome");
  const auto network = TextOf(object, "network_error");
  if (!outcome.has_value()) return Bad("outcome", "must be text");
  if (!network.has_value()) return Bad("network_error", "must be text");
  if (!outcome->empty()) {
    const auto value = OutcomeOf(*outcome);
    if (!value.has_value()) {
      return Bad("outcome",
                 "is none of: success, cancelled, network-error, request-fault, rate-limited, "
                 "quota-exhausted, unauthenticated, forbidden, model-not-found, transient, "
                 "overloaded, challenge");
    }
    item->set_outcome(*value);
  }
  if (!network->empty()) {
    const auto value = NetworkErrorOf(*network);
    if (!value.has_value()) {
      return Bad("network_error", "is none of: dns, connect, tls, reset, timeout, proxy");
    }
    item->set_network_error(*value);
    // Who names a network error means that outcome.
    if (outcome->empty()) item->set_outcome(api::OUTCOME_NETWORK_ERROR);
  }
  return absl::OkStatus();
}

absl::StatusOr<api::ReportItem> ReadItem(const json& object) {
  if (!object.is_object()) return Bad("item", "must be an object");
  for (const auto& [name, value] : object.items()) {
    if (std::find(std::begin(kFields), std::end(kFields), name) == std::end(kFields)) {
      return Bad("unknown field",
                 "known: lease, status, outcome, error_code, network_error, headers, body, early");
    }
  }
  api::ReportItem item;
  const auto lease = TextOf(object, "lease");
  if (!lease.has_value() || lease->empty()) return Bad("lease", "is required, as text");
  item.set_lease_id(*lease);
  if (absl::Status status = ReadWords(object, &item); !status.ok()) return status;
  const auto status = StatusOf(object, "status");
  if (!status.has_value()) return Bad("status", "must be 100 to 599, or 0 for none");
  // nginx's way to say that the client went away; no upstream answers it.
  if (*status == 499) {
    item.set_outcome(api::OUTCOME_CANCELLED);
  } else {
    item.set_http_status(*status);
  }
  const auto code = TextOf(object, "error_code");
  const auto body = TextOf(object, "body");
  if (!code.has_value()) return Bad("error_code", "must be text");
  if (!body.has_value()) return Bad("body", "must be text");
  item.set_error_code(*code);
  item.set_body_excerpt(body->substr(0, 4096));
  if (const auto headers = object.find("headers"); headers != object.end()) {
    if (!AddHeaders(*headers, &item)) return Bad("headers", "must be an object");
  }
  if (const auto early = object.find("early"); early != object.end()) {
    if (!early->is_boolean()) return Bad("early", "must be true or false");
    item.set_early(early->get<bool>());
  }
  if (const auto bad = Check(item)) {
    return Bad(bad->field == "http_status" ? "status" : bad->field, bad->description);
  }
  return item;
}

// "retry-other" of ADVICE_RETRY_OTHER.
std::string WordOf(absl::string_view name, absl::string_view prefix) {
  absl::ConsumePrefix(&name, prefix);
  return absl::AsciiStrToLower(absl::StrReplaceAll(name, {{"_", "-"}}));
}

}  // namespace

absl::StatusOr<std::vector<api::ReportItem>> ParseReportBody(absl::string_view body) {
  const std::optional<json> parsed = ParseJson(body);
  if (!parsed.has_value()) return absl::InvalidArgumentError("the body is no JSON");
  std::vector<api::ReportItem> items;
  const bool many = parsed->is_object() && parsed->contains("items");
  if (!many) {
    absl::StatusOr<api::ReportItem> item = ReadItem(*parsed);
    if (!item.ok()) return item.status();
    items.push_back(*std::move(item));
    return items;
  }
  const json& list = (*parsed)["items"];
  if (parsed->size() != 1 || !list.is_array() || list.empty() || list.size() > kMaxItems) {
    return Bad("items", "must be a list of 1 to 256 reports, and alone");
  }
  for (size_t i = 0; i < list.size(); ++i) {
    absl::StatusOr<api::ReportItem> item = ReadItem(list[i]);
    if (!item.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("items[", i, "].", item.status().message()));
    }
    items.push_back(*std::move(item));
  }
  return items;
}

std::string ReportAnswerBody(const api::ReportResponse& response) {
  json results = json::array();
  for (const api::ReportResult& result : response.results()) {
    json entry = {{"disposition", WordOf(api::ReportDisposition_Name(result.disposition()),
                                         "REPORT_DISPOSITION_")}};
    if (result.advice() != api::ADVICE_UNSPECIFIED) {
      entry["advice"] = WordOf(api::Advice_Name(result.advice()), "ADVICE_");
    }
    if (result.cause() != api::CAUSE_UNSPECIFIED) {
      entry["cause"] = WordOf(api::Cause_Name(result.cause()), "CAUSE_");
    }
    if (!result.credential_id().empty()) entry["credential"] = result.credential_id();
    results.push_back(std::move(entry));
  }
  return json{{"results", std::move(results)}}.dump(-1, ' ', false,
                                                    json::error_handler_t::replace) +
         "\n";
}

}  // namespace credbroker::sidecar
