// Reads credential files: JSON objects, arrays of them, and lists of API keys, as login tools and
// proxies write them.
//
// Pure functions; thread-safe. Nothing here throws, whatever the bytes are.
#ifndef CREDBROKER_SERVER_IMPORT_AUTH_FILE_H_
#define CREDBROKER_SERVER_IMPORT_AUTH_FILE_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/credential.h"

namespace credbroker::import {

// A credential as its file describes it. id, group, source, source_path, external_refresh and the
// times of `document` are not set: the file does not know them.
struct ParsedCredential {
  core::Document document;
  std::shared_ptr<core::SecretMaterial> secret;  // never null; may hold nothing
  bool has_secret = false;  // what upstream calls of its kind need; an export has none
  bool disabled = false;    // at creation
  // What the file says, field by field: path as in the API -> JSON text, or "#" and a hash of a
  // long one. Only fields the file has. Base of the three-way merge.
  std::map<std::string, std::string> fields;
  std::vector<std::string> notes;  // for people: what was accepted and yet not used
};

// Why an entry or a file is refused: "priority: must be a number or an integer string". Never
// quotes a value.
struct Rejection {
  std::string field;    // empty: the whole
  std::string problem;  // with the remedy
  std::string ToString() const;
};

struct ParsedEntry {
  int index = 0;          // in an array; line number - 1 in a key list
  std::string id_suffix;  // "/3" in an array, "/<hash>" in a key list; else empty
  // Neither is set: not a credential file (it has no `type`).
  std::optional<ParsedCredential> credential;
  std::optional<Rejection> rejection;
};

struct ParsedFile {
  std::vector<ParsedEntry> entries;
  std::optional<Rejection> rejection;  // of the whole file; no entries then
  bool cut_off = false;                // refused, and it may be half-written
};

struct ParseOptions {
  std::string provider;  // of objects without `type`; lower case
  bool key_per_line = false;
};

ParsedFile ParseAuthFile(absl::string_view bytes, const ParseOptions& options);

// Puts the field `name` (a key of ParsedCredential::fields) of `from` into `to`; a field that
// `from` has not gets its default.
void TakeField(absl::string_view name, const core::Document& from, core::Document& to);

// Whether all is equal but id, revision and create_time.
bool SameDocument(const core::Document& a, const core::Document& b);

// Keys of attributes_json: what proxies need of a file beside the common keys.
bool IsAttributeKey(absl::string_view key);

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_AUTH_FILE_H_
