// Filters, orders and page tokens from anybody: no crash, and what parses can be evaluated.
#include <cstddef>
#include <cstdint>

#include "server/rpc/filter.h"
#include "server/rpc/page_token.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using credbroker::rpc::Filter;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  static const auto* const document = new credbroker::core::Document;
  static const auto* const intent = new credbroker::core::Intent;
  credbroker::core::CredentialRow row;
  row.document = document;
  row.intent = intent;
  for (const Filter::Fields fields : {Filter::Fields::kAll, Filter::Fields::kDocument}) {
    const auto filter = Filter::Parse(text, fields);
    if (!filter.ok()) continue;
    filter->Matches(row);
    if (fields == Filter::Fields::kDocument) filter->MatchesDocument(*document);
  }
  const auto order = credbroker::rpc::ParseOrder(text);
  if (order.ok()) order->KeyOf(row);
  credbroker::rpc::DecodePageToken("query", text);
  return 0;
}
