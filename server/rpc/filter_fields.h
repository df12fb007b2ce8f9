// The fields a filter may name, and how each is read from a row. Constant; thread-safe.
#ifndef CREDBROKER_SERVER_RPC_FILTER_FIELDS_H_
#define CREDBROKER_SERVER_RPC_FILTER_FIELDS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "core/view.h"

namespace credbroker::rpc {

enum class FieldType : uint8_t { kText, kNumber, kBool, kTime, kEnum };

struct FilterField {
  const char* name;
  FieldType type;
  bool document;  // readable from a Document alone
  // kText. `key` is of labels.KEY only.
  absl::string_view (*text)(const core::CredentialRow& row, const std::string& key) = nullptr;
  // The others: number, 0 or 1, Unix microseconds, enum value. Nothing: absent.
  std::optional<int64_t> (*number)(const core::CredentialRow& row) = nullptr;
  // kEnum: of the lower-case name.
  std::optional<int64_t> (*parse)(absl::string_view name) = nullptr;
};

// Null: no such field. `labels.KEY` gives the labels field and *label_key.
const FilterField* FindFilterField(absl::string_view name, std::string* label_key);
// For messages: "id, group, ..., labels.KEY".
std::string FilterFieldNames();

}  // namespace credbroker::rpc

#endif  // CREDBROKER_SERVER_RPC_FILTER_FIELDS_H_
