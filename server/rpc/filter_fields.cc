#include "server/rpc/filter_fields.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace credbroker::rpc {
namespace {

using core::CredentialRow;
using Number = std::optional<int64_t>;

// The value of an enum whose values are 0..count-1, by its name.
template <typename E>
Number ByName(absl::string_view name, int count) {
  for (int i = 0; i < count; ++i) {
    if (core::Name(static_cast<E>(i)) == name) return i;
  }
  return std::nullopt;
}

absl::string_view LabelOf(const CredentialRow& row, const std::string& key) {
  for (const auto& [label, value] : row.document->labels) {
    if (label == key) return value;
  }
  return "";
}

// A password in a proxy's address is nobody's business who may only filter.
absl::string_view ProxyHost(const CredentialRow& row, const std::string&) {
  absl::string_view url = row.document->proxy_url;
  const size_t at = url.rfind('@');
  return at == absl::string_view::npos ? url : url.substr(at + 1);
}

#define CREDBROKER_TEXT(field)                                                      \
  {                                                                                 \
#field, FieldType::kText, true,                                                 \
        [](const CredentialRow& row,                                                \
           const std::string&) -> absl::string_view { return row.document->field; } \
  }

constexpr FilterField kFields[] = {
    CREDBROKER_TEXT(id),
    CREDBROKER_TEXT(group),
    CREDBROKER_TEXT(provider),
    {"kind", FieldType::kEnum, true, nullptr,
     [](const CredentialRow& row) { return Number(static_cast<int64_t>(row.document->kind)); },
     [](absl::string_view name) { return ByName<core::Kind>(name, 3); }},
    CREDBROKER_TEXT(label),
    CREDBROKER_TEXT(email),
    CREDBROKER_TEXT(note),
    CREDBROKER_TEXT(source),
    CREDBROKER_TEXT(prefix),
    {"proxy_url", FieldType::kText, true, &ProxyHost},
    CREDBROKER_TEXT(base_url),
    {"priority", FieldType::kNumber, true, nullptr,
     [](const CredentialRow& row) { return Number(row.document->priority); }},
    {"weight", FieldType::kNumber, true, nullptr,
     [](const CredentialRow& row) { return Number(row.document->weight); }},
    {"max_in_flight", FieldType::kNumber, true, nullptr,
     [](const CredentialRow& row) { return Number(row.document->max_in_flight); }},
    {"max_in_flight_per_model", FieldType::kNumber, true, nullptr,
     [](const CredentialRow& row) { return Number(row.document->max_in_flight_per_model); }},
    {"disable_cooling", FieldType::kBool, true, nullptr,
     [](const CredentialRow& row) { return Number(row.document->disable_cooling ? 1 : 0); }},
    {"labels", FieldType::kText, true, &LabelOf},
    {"create_time", FieldType::kTime, true, nullptr,
     [](const CredentialRow& row) {
       return Number(absl::ToUnixMicros(row.document->create_time));
     }},
    {"disabled", FieldType::kBool, false, nullptr,
     [](const CredentialRow& row) {
       return Number(row.intent != nullptr && !row.intent->enabled ? 1 : 0);
     }},
    {"state", FieldType::kEnum, false, nullptr,
     [](const CredentialRow& row) { return Number(static_cast<int64_t>(row.state)); },
     [](absl::string_view name) { return ByName<core::State>(name, core::kStateCount); }},
    {"cause", FieldType::kEnum, false, nullptr,
     [](const CredentialRow& row) { return Number(static_cast<int64_t>(row.cause)); },
     [](absl::string_view name) { return ByName<core::Cause>(name, core::kCauseCount); }},
    {"auth_health", FieldType::kEnum, false, nullptr,
     [](const CredentialRow& row) { return Number(static_cast<int64_t>(row.auth)); },
     [](absl::string_view name) { return ByName<core::AuthHealth>(name, 5); }},
    {"busy", FieldType::kBool, false, nullptr,
     [](const CredentialRow& row) { return Number(row.busy ? 1 : 0); }},
    {"half_open", FieldType::kBool, false, nullptr,
     [](const CredentialRow& row) { return Number(row.half_open ? 1 : 0); }},
    {"in_flight", FieldType::kNumber, false, nullptr,
     [](const CredentialRow& row) { return Number(row.in_flight); }},
    {"next_recover_time", FieldType::kTime, false, nullptr,
     [](const CredentialRow& row) {
       return row.state == core::State::kWaiting ? Number(absl::ToUnixMicros(row.next_recover))
                                                 : Number();
     }},
};

#undef CREDBROKER_TEXT

}  // namespace

const FilterField* FindFilterField(absl::string_view name, std::string* label_key) {
  constexpr absl::string_view kLabels = "labels.";
  const bool label = absl::StartsWith(name, kLabels);
  if (label) {
    *label_key = std::string(name.substr(kLabels.size()));
    if (label_key->empty()) return nullptr;
    name = "labels";
  } else if (name == "labels") {
    return nullptr;
  }
  const auto* found = std::find_if(std::begin(kFields), std::end(kFields),
                                   [&](const FilterField& field) { return name == field.name; });
  return found == std::end(kFields) ? nullptr : found;
}

std::string FilterFieldNames() {
  std::string names;
  for (const FilterField& field : kFields) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", field.name);
    if (absl::string_view(field.name) == "labels") absl::StrAppend(&names, ".KEY");
  }
  return names;
}

}  // namespace credbroker::rpc
