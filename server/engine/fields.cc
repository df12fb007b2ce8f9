#include "server/engine/fields.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"

namespace credbroker::engine {
namespace {

using core::Document;
using nlohmann::json;
using JsonText = std::optional<std::string>;

constexpr absl::string_view kLabels = "labels.";
constexpr absl::string_view kIntent = "intent.";

std::string Text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}
JsonText CapText(const std::optional<int32_t>& cap) {
  return cap ? JsonText(Text(*cap)) : std::nullopt;
}

// Every field that a batch can change, by path; labels and intent have their own functions.
struct Field {
  const char* path;
  JsonText (*get)(const Document&);
  void (*set)(Document&, const json&);  // null: absent
};

std::optional<int32_t> CapOf(const json& value) {
  return value.is_null() ? std::nullopt : std::optional<int32_t>(value.get<int32_t>());
}

const Field kFields[] = {
    {"priority", [](const Document& d) { return JsonText(Text(d.priority)); },
     [](Document& d, const json& v) { d.priority = v.get<int64_t>(); }},
    {"weight", [](const Document& d) { return JsonText(Text(d.weight)); },
     [](Document& d, const json& v) { d.weight = v.get<int64_t>(); }},
    {"prefix", [](const Document& d) { return JsonText(Text(d.prefix.str())); },
     [](Document& d, const json& v) { d.prefix = v.get<std::string>(); }},
    {"proxy_url", [](const Document& d) { return JsonText(Text(d.proxy_url.str())); },
     [](Document& d, const json& v) { d.proxy_url = v.get<std::string>(); }},
    {"max_in_flight", [](const Document& d) { return CapText(d.max_in_flight); },
     [](Document& d, const json& v) { d.max_in_flight = CapOf(v); }},
    {"max_in_flight_per_model",
     [](const Document& d) { return CapText(d.max_in_flight_per_model); },
     [](Document& d, const json& v) { d.max_in_flight_per_model = CapOf(v); }},
    {"group", [](const Document& d) { return JsonText(Text(d.group.str())); },
     [](Document& d, const json& v) { d.group = v.get<std::string>(); }},
};

JsonText LabelOf(const Document& document, absl::string_view key) {
  for (const auto& [name, value] : document.labels) {
    if (name == key) return Text(value);
  }
  return std::nullopt;
}

void SetLabel(Document& document, absl::string_view key, const std::optional<std::string>& value) {
  std::erase_if(document.labels, [&](const auto& label) { return label.first == key; });
  if (!value) return;
  document.labels.emplace_back(std::string(key), *value);
  std::sort(document.labels.begin(), document.labels.end());
}

std::vector<std::pair<std::string, JsonText>> IntentFields(const core::Intent& intent) {
  JsonText reason, until;
  if (!intent.enabled && !intent.reason.empty()) reason = Text(intent.reason);
  if (!intent.enabled && intent.until) {
    until = Text(absl::FormatTime(absl::RFC3339_full, *intent.until, absl::UTCTimeZone()));
  }
  return {{"intent.disabled", Text(!intent.enabled)},
          {"intent.reason", std::move(reason)},
          {"intent.until", std::move(until)}};
}

// False: not the batch's any more, or not to be read.
bool PutBackField(const store::FieldEdit& edit, Document& document) {
  const json old = edit.old_value ? json::parse(*edit.old_value, nullptr, false) : json();
  if (old.is_discarded()) return false;
  if (absl::StartsWith(edit.field, kLabels)) {
    const absl::string_view key = absl::StripPrefix(edit.field, kLabels);
    if (LabelOf(document, key) != edit.new_value) return false;
    if (!old.is_null() && !old.is_string()) return false;
    SetLabel(document, key,
             old.is_null() ? std::nullopt : std::optional<std::string>(old.get<std::string>()));
    return true;
  }
  for (const Field& field : kFields) {
    if (edit.field != field.path) continue;
    if (field.get(document) != edit.new_value) return false;
    try {
      field.set(document, old);
    } catch (const json::exception&) {
      return false;  // a record of another version of this program
    }
    return true;
  }
  return false;
}

bool PutBackIntent(const std::vector<store::FieldEdit>& edits, absl::string_view actor,
                   absl::Time now, core::Intent& intent) {
  const auto current = IntentFields(intent);
  const core::Intent kept = intent;
  for (const store::FieldEdit& edit : edits) {
    const auto found = std::find_if(current.begin(), current.end(),
                                    [&](const auto& field) { return field.first == edit.field; });
    if (found == current.end() || found->second != edit.new_value) {
      intent = kept;
      return false;
    }
    const json old = edit.old_value ? json::parse(*edit.old_value, nullptr, false) : json();
    if (edit.field == "intent.disabled" && old.is_boolean()) {
      intent.enabled = !old.get<bool>();
    } else if (edit.field == "intent.reason") {
      intent.reason = old.is_string() ? old.get<std::string>() : "";
    } else if (edit.field == "intent.until") {
      intent.until = std::nullopt;
      absl::Time until;
      if (old.is_string() &&
          absl::ParseTime(absl::RFC3339_full, old.get<std::string>(), &until, nullptr)) {
        intent.until = until;
      }
    } else {
      intent = kept;
      return false;
    }
  }
  if (intent.enabled) {
    intent.reason.clear();
    intent.until = std::nullopt;
  }
  intent.actor = std::string(actor);
  intent.since = now;
  return true;
}

}  // namespace

absl::Status ApplyOperation(const BatchOperation& operation, absl::string_view actor,
                            absl::Time now, Editable& target) {
  using Kind = BatchOperation::Kind;
  Document& document = target.document;
  switch (operation.kind) {
    case Kind::kEnable:
      if (!target.intent.enabled) {
        target.intent = core::Intent{.enabled = true, .actor = std::string(actor), .since = now};
      }
      break;
    case Kind::kDisable: {
      if (operation.until && *operation.until <= now) {
        return absl::InvalidArgumentError("until: it must be in the future");
      }
      core::Intent& old = target.intent;
      if (!old.enabled && old.reason == operation.text && old.until == operation.until) break;
      old = core::Intent{.enabled = false,
                         .actor = std::string(actor),
                         .reason = operation.text,
                         .since = now,
                         .until = operation.until};
      break;
    }
    case Kind::kPriority:
      document.priority = operation.number;
      break;
    case Kind::kWeight:
      document.weight = operation.number;
      break;
    case Kind::kPrefix:
      document.prefix = operation.text;
      break;
    case Kind::kProxyUrl:
      document.proxy_url = operation.text;
      break;
    case Kind::kMaxInFlight:
      document.max_in_flight = operation.cap;
      break;
    case Kind::kMaxInFlightPerModel:
      document.max_in_flight_per_model = operation.cap;
      break;
    case Kind::kGroup:
      document.group = operation.text;
      break;
    case Kind::kLabels:
      for (const std::string& key : operation.remove_labels) {
        SetLabel(document, key, std::nullopt);
      }
      for (const auto& [key, value] : operation.set_labels) SetLabel(document, key, value);
      break;
    case Kind::kReset:
    case Kind::kDelete:
      break;
  }
  return absl::OkStatus();
}

std::vector<store::FieldEdit> Differences(const Editable& before, const Editable& after) {
  std::vector<store::FieldEdit> edits;
  const auto add = [&](std::string path, JsonText old_value, JsonText new_value) {
    if (old_value == new_value) return;
    edits.push_back({.field = std::move(path),
                     .old_value = std::move(old_value),
                     .new_value = std::move(new_value)});
  };
  for (const Field& field : kFields) {
    add(field.path, field.get(before.document), field.get(after.document));
  }
  if (before.document.labels != after.document.labels) {
    std::vector<std::string> keys;
    for (const Document* document : {&before.document, &after.document}) {
      for (const auto& [key, value] : document->labels) keys.push_back(key);
    }
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    for (const std::string& key : keys) {
      add(absl::StrCat(kLabels, key), LabelOf(before.document, key), LabelOf(after.document, key));
    }
  }
  if (before.intent != after.intent) {
    auto old_fields = IntentFields(before.intent);
    auto new_fields = IntentFields(after.intent);
    for (size_t i = 0; i < old_fields.size(); ++i) {
      add(old_fields[i].first, std::move(old_fields[i].second), std::move(new_fields[i].second));
    }
  }
  return edits;
}

std::vector<std::string> PutBack(const std::vector<store::FieldEdit>& edits,
                                 absl::string_view actor, absl::Time now, Editable& target) {
  std::vector<std::string> conflicts;
  std::vector<store::FieldEdit> intent;
  for (const store::FieldEdit& edit : edits) {
    if (absl::StartsWith(edit.field, kIntent)) {
      intent.push_back(edit);
    } else if (!PutBackField(edit, target.document)) {
      conflicts.push_back(edit.field);
    }
  }
  if (!intent.empty() && !PutBackIntent(intent, actor, now, target.intent)) {
    for (const store::FieldEdit& edit : intent) conflicts.push_back(edit.field);
  }
  return conflicts;
}

}  // namespace credbroker::engine
