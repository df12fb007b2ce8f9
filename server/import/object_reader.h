// Takes the keys of one credential object one by one; what nobody took is unknown and kept.
//
// Thread-compatible. The first problem wins; reads after it return nothing.
#ifndef CREDBROKER_SERVER_IMPORT_OBJECT_READER_H_
#define CREDBROKER_SERVER_IMPORT_OBJECT_READER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/secret.h"
#include "server/import/auth_file.h"
#include "server/import/strict_json.h"

namespace credbroker::import {

class ObjectReader {
 public:
  // `object` outlives the reader and loses each key that is taken.
  ObjectReader(Json& object, std::map<std::string, std::string>& fields)
      : object_(object), fields_(fields) {}
  ~ObjectReader();

  // The value of `key`, or of its kebab-case spelling; snake_case wins and both are taken. Nothing
  // for an absent key and for null.
  std::optional<Json> Take(absl::string_view key);
  // The same under the first of `keys` that has a value.
  std::optional<Json> TakeFirst(std::initializer_list<const char*> keys);

  // A string of at most `max_bytes`, without control characters but line breaks and tabs.
  void Text(absl::string_view key, size_t max_bytes, std::string& out);
  void Flag(absl::string_view key, bool& out);
  // An integer within [low, high].
  void Integer(absl::string_view key, bool truncate, int64_t low, int64_t high,
               std::optional<int64_t>& out);
  void Names(absl::string_view key, std::vector<std::string>& out);
  // A string without control characters; "" is absent.
  void SecretText(std::initializer_list<const char*> keys, core::Secret& out);

  // Notes that the file has the field.
  void Has(absl::string_view field, const Json& value);
  void Refuse(absl::string_view field, absl::string_view problem);
  const std::optional<Rejection>& rejection() const { return rejection_; }

 private:
  Json& object_;
  std::map<std::string, std::string>& fields_;
  std::optional<Rejection> rejection_;
};

// JSON text, or "#" and a hash of it where it is long.
std::string FieldText(const Json& value);

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_OBJECT_READER_H_
