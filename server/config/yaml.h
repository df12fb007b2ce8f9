// The part of YAML a configuration may use, as a tree that knows its places: block and flow
// mappings and lists, plain and quoted scalars, comments. What makes YAML surprising or dangerous
// is refused: anchors and aliases, tags, duplicate keys, keys that are no text, several documents,
// tabs, control characters (also escaped ones), and nesting deeper than kMaxDepth.
#ifndef CREDBROKER_SERVER_CONFIG_YAML_H_
#define CREDBROKER_SERVER_CONFIG_YAML_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/config/problems.h"

namespace credbroker::config {

struct Entry;

struct Node {
  enum class Type { kNull, kScalar, kList, kMap };
  Type type = Type::kNull;
  Position at;
  std::string text;     // of a scalar, verbatim
  bool quoted = false;  // a quoted or block scalar: text, whatever it looks like
  std::vector<Node> items;
  std::vector<Entry> entries;
};

struct Entry {
  std::string key;
  bool quoted = false;
  Position at;
  Node value;
};

// The root mapping; nothing if a problem was added.
std::optional<Node> ParseYaml(absl::string_view text, Problems& problems);

// Whether YAML readers take this unquoted scalar for something else than text: true, yes, off, ~.
bool LooksLikeBoolOrNull(absl::string_view text);

}  // namespace credbroker::config

#endif  // CREDBROKER_SERVER_CONFIG_YAML_H_
