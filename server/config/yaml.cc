#include "server/config/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <sstream>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/config/config.h"

namespace credbroker::config {
namespace {

// Ends the parse; the problem is already added.
struct Refused {};

// Decodes one character of UTF-8 (RFC 3629) at the front of `text`; its length, 0 if invalid.
size_t DecodeUtf8(absl::string_view text, uint32_t& code) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  code = lead;
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  code = lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3Fu);
  }
  const uint32_t least = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000;
  if (code < least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return 0;
  return length;
}

// Controls, line separators and what changes the direction of text: none is needed here, and each
// makes a file or a log line look like something it is not.
bool IsControl(uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029 ||
         (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF;
}

bool HasControl(absl::string_view text) {
  while (!text.empty()) {
    uint32_t code = 0;
    const size_t length = DecodeUtf8(text, code);
    if (length == 0 || IsControl(code)) return true;
    text.remove_prefix(length);
  }
  return false;
}

// The first byte that must not be there is the only problem: what follows may be anything.
bool CheckBytes(absl::string_view text, Problems& problems) {
  Position at;
  for (size_t i = 0; i < text.size();) {
    uint32_t code = 0;
    const size_t length = DecodeUtf8(text.substr(i), code);
    if (length == 0) {
      problems.AddAt(at, "", "is not UTF-8; save the file as UTF-8");
      return false;
    }
    if (code == '\t') {
      problems.AddAt(at, "", "a tab; indent with spaces");
      return false;
    }
    const bool line_end =
        code == '\n' || (code == '\r' && i + 1 < text.size() && text[i + 1] == '\n');
    if (!line_end && IsControl(code)) {
      problems.AddAt(at, "", absl::StrFormat("control character U+%04X; remove it", code));
      return false;
    }
    i += length;
    at.column += static_cast<int>(length);
    if (code == '\n') at = {at.line + 1, 1};
  }
  return true;
}

class Builder : public YAML::EventHandler {
 public:
  Builder(absl::string_view text, Problems& problems) : text_(text), problems_(problems) {
    line_starts_.push_back(0);
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\n') line_starts_.push_back(i + 1);
    }
  }

  bool has_root() const { return has_root_; }
  Node TakeRoot() { return std::move(root_); }

  static Position At(const YAML::Mark& mark) {
    return {std::max(0, mark.line) + 1, std::max(0, mark.column) + 1};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) Refuse(At(mark), "a second document; keep one");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    NoAnchor(mark, anchor);
    if (WantsKey()) Refuse(At(mark), "a key is missing; write `key: value`");
    Node node;
    // An absent value has the place of what follows it; its key says more.
    node.at = !open_.empty() && open_.back().type == Node::Type::kMap ? keys_.back().at : At(mark);
    Put(std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Refuse(At(mark), "an alias (*name); write the value out");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    NoAnchor(mark, anchor);
    NoTag(mark, tag);
    const bool quoted = tag == "!";
    if (quoted) CheckClosed(mark);
    if (HasControl(value)) {
      Refuse(At(mark), "holds a line break or control character; write it in one line of text");
    }
    if (WantsKey()) {
      AddKey(At(mark), value, quoted);
      return;
    }
    Node node;
    node.type = Node::Type::kScalar;
    node.at = At(mark);
    node.text = value;
    node.quoted = quoted;
    Put(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Node::Type::kList);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Node::Type::kMap);
  }
  void OnMapEnd() override { Close(); }

 private:
  [[noreturn]] void Refuse(Position at, absl::string_view what) {
    problems_.AddAt(at, "", what);
    throw Refused();
  }

  void NoAnchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) Refuse(At(mark), "an anchor (&name); write the value out");
  }

  void NoTag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      Refuse(At(mark), "a tag (!name); leave it out, quote what is text");
    }
  }

  // The parser takes the end of the file for a closing quote, and with it the rest of the file.
  void CheckClosed(const YAML::Mark& mark) {
    if (mark.line < 0 || static_cast<size_t>(mark.line) >= line_starts_.size()) return;
    const size_t start = line_starts_[mark.line] + static_cast<size_t>(std::max(0, mark.column));
    if (start >= text_.size()) return;
    const char quote = text_[start];
    if (quote != '"' && quote != '\'') return;  // a block scalar
    for (size_t i = start + 1; i < text_.size(); ++i) {
      if (quote == '"' && text_[i] == '\\') {
        ++i;
      } else if (text_[i] == quote) {
        if (quote == '"' || i + 1 >= text_.size() || text_[i + 1] != quote) return;
        ++i;
      }
    }
    Refuse(At(mark), "a quote that is never closed; close it");
  }

  bool WantsKey() const {
    return !open_.empty() && open_.back().type == Node::Type::kMap && !keys_.back().pending;
  }

  void AddKey(Position at, const std::string& key, bool quoted) {
    Keys& keys = keys_.back();
    if (!keys.seen.insert(key).second) {
      Refuse(at, absl::StrCat(Quoted(key), " is given twice in one mapping; keep one of them"));
    }
    keys.pending = true;
    keys.at = at;
    open_.back().entries.push_back({key, quoted, at, {}});
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            Node::Type type) {
    NoAnchor(mark, anchor);
    NoTag(mark, tag);
    if (WantsKey()) Refuse(At(mark), "a key that is a list or mapping; keys are text");
    if (open_.size() >= kMaxDepth) {
      Refuse(At(mark), absl::StrCat("nested deeper than ", kMaxDepth, " levels; nothing here is"));
    }
    Node node;
    node.type = type;
    node.at = At(mark);
    open_.push_back(std::move(node));
    keys_.emplace_back();
  }

  void Close() {
    Node node = std::move(open_.back());
    open_.pop_back();
    keys_.pop_back();
    Put(std::move(node));
  }

  void Put(Node node) {
    if (open_.empty()) {
      root_ = std::move(node);
      has_root_ = true;
    } else if (open_.back().type == Node::Type::kMap) {
      open_.back().entries.back().value = std::move(node);
      keys_.back().pending = false;
    } else {
      open_.back().items.push_back(std::move(node));
    }
  }

  struct Keys {
    absl::flat_hash_set<std::string> seen;
    bool pending = false;  // a key waits for its value
    Position at;           // of the latest key
  };

  absl::string_view text_;
  Problems& problems_;
  std::vector<size_t> line_starts_;
  int documents_ = 0;
  bool has_root_ = false;
  Node root_;
  std::vector<Node> open_;  // the mappings and lists around the next event
  std::vector<Keys> keys_;  // of each of them
};

}  // namespace

std::optional<Node> ParseYaml(absl::string_view text, Problems& problems) {
  if (text.size() > kMaxFileBytes) {
    problems.Add("", absl::StrCat("has ", text.size(), " bytes; at most ", kMaxFileBytes));
    return std::nullopt;
  }
  if (absl::StartsWith(text, "\xEF\xBB\xBF")) text.remove_prefix(3);
  if (!CheckBytes(text, problems)) return std::nullopt;
  Builder builder(text, problems);
  try {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Refused&) {
    return std::nullopt;
  } catch (const YAML::Exception& e) {
    problems.AddAt(Builder::At(e.mark), "", absl::StrCat("is not YAML: ", e.msg));
    return std::nullopt;
  } catch (const std::exception& e) {
    problems.Add("", absl::StrCat("is not YAML: ", e.what()));
    return std::nullopt;
  }
  if (!builder.has_root()) {
    problems.Add("", "is empty; at least listeners and store must be given");
    return std::nullopt;
  }
  Node root = builder.TakeRoot();
  if (root.type != Node::Type::kMap) {
    problems.AddAt(root.at, "", "is not a mapping; write `key: value` lines");
    return std::nullopt;
  }
  return root;
}

bool LooksLikeBoolOrNull(absl::string_view text) {
  const std::string lower = absl::AsciiStrToLower(text);
  for (const absl::string_view word :
       {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "~"}) {
    if (lower == word) return true;
  }
  return lower.empty();
}

}  // namespace credbroker::config
