#include "client/sidecar/json_input.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/sidecar/http_field.h"
#include "credbroker/client/outcome.h"

namespace credbroker::sidecar {
namespace {

constexpr int kMaxDepth = 8;
constexpr int kMaxHeaders = 128;
constexpr size_t kMaxHeaderBytes = 16 * 1024;

// The enum value called `word` after `prefix`, in any case and with "-" or "_".
std::string FullName(absl::string_view prefix, absl::string_view word) {
  return absl::StrCat(prefix, absl::AsciiStrToUpper(absl::StrReplaceAll(word, {{"-", "_"}})));
}

}  // namespace

std::optional<nlohmann::json> ParseJson(absl::string_view text) {
  bool too_deep = false;
  const auto watch = [&too_deep](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    too_deep = too_deep || depth > kMaxDepth;
    return !too_deep;
  };
  nlohmann::json parsed =
      nlohmann::json::parse(text.begin(), text.end(), watch, /*allow_exceptions=*/false);
  if (too_deep || parsed.is_discarded()) return std::nullopt;
  return parsed;
}

std::optional<std::string> TextOf(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return "";
  if (!found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

std::optional<int> StatusOf(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return 0;
  int status = 0;
  if (found->is_number_integer()) {
    const auto value = found->get<int64_t>();
    if (value < 0 || value > 999) return std::nullopt;
    status = static_cast<int>(value);
  } else if (found->is_string()) {
    const auto& text = found->get_ref<const std::string&>();
    if (text.empty() || text == "-") return 0;
    if (text.size() > 3 || !absl::SimpleAtoi(text, &status)) return std::nullopt;
  } else {
    return std::nullopt;
  }
  // nginx writes 000 for a request that had no answer.
  if (status != 0 && (status < 100 || status > 599)) return std::nullopt;
  return status;
}

void AddHeader(absl::string_view name, absl::string_view value, api::ReportItem* item) {
  if (value.empty() || value == "-" || !IsFieldName(name) || !IsFieldValue(value) ||
      client::IsPrivateHeader(name) || item->headers_size() >= kMaxHeaders) {
    return;
  }
  size_t bytes = name.size() + value.size();
  for (const api::Header& header : item->headers()) {
    bytes += header.name().size() + header.value().size();
  }
  if (bytes > kMaxHeaderBytes) return;
  api::Header* header = item->add_headers();
  header->set_name(absl::AsciiStrToLower(name));
  header->set_value(std::string(value));
}

bool AddHeaders(const nlohmann::json& object, api::ReportItem* item) {
  if (!object.is_object()) return false;
  for (const auto& [name, value] : object.items()) {
    if (value.is_string()) {
      AddHeader(name, value.get_ref<const std::string&>(), item);
    } else if (value.is_number_integer()) {
      AddHeader(name, absl::StrCat(value.get<int64_t>()), item);
    } else if (value.is_array()) {
      for (const auto& line : value) {
        if (line.is_string()) AddHeader(name, line.get_ref<const std::string&>(), item);
      }
    }
  }
  return true;
}

std::optional<api::NetworkErrorKind> NetworkErrorOf(absl::string_view word) {
  api::NetworkErrorKind kind;
  if (!api::NetworkErrorKind_Parse(FullName("NETWORK_ERROR_KIND_", word), &kind)) {
    return std::nullopt;
  }
  return kind;
}

std::optional<api::Outcome> OutcomeOf(absl::string_view word) {
  api::Outcome outcome;
  if (!api::Outcome_Parse(FullName("OUTCOME_", word), &outcome)) return std::nullopt;
  return outcome;
}

}  // namespace credbroker::sidecar
