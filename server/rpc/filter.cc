#include "server/rpc/filter.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "server/rpc/filter_fields.h"

namespace credbroker::rpc {

enum class Op : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe };

struct FilterNode {
  enum class Kind : uint8_t { kAnd, kOr, kNot, kCompare };
  Kind kind = Kind::kCompare;
  std::vector<FilterNode> children;
  const FilterField* field = nullptr;
  std::string label_key;  // labels.KEY
  Op op = Op::kEq;
  std::string text;
  bool prefix = false;
  int64_t number = 0;
};

namespace {

constexpr int kMaxDepth = 32;
constexpr int kMaxComparisons = 128;

struct Token {
  enum class Kind : uint8_t { kEnd, kWord, kQuoted, kOp, kOpen, kClose };
  Kind kind = Kind::kEnd;
  std::string text;
  bool star = false;  // ends in a bare `*` (taken off)
  size_t at = 0;      // byte, from 0
};

absl::Status Problem(size_t at, absl::string_view token, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      "at ", at + 1, ", ", token.empty() ? "end" : absl::StrCat("'", token, "'"), ": ", what));
}

bool IsWordByte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte > ' ' && c != '(' && c != ')' && c != '=' && c != '<' && c != '>' && c != '!' &&
         c != '"' && c != ',' && byte != 0x7f;
}

class Lexer {
 public:
  explicit Lexer(absl::string_view text) : text_(text) {}

  absl::StatusOr<Token> Next() {
    while (at_ < text_.size() && absl::ascii_isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
    Token token;
    token.at = at_;
    if (at_ == text_.size()) return token;
    const char c = text_[at_];
    if (c == '(' || c == ')') {
      token.kind = c == '(' ? Token::Kind::kOpen : Token::Kind::kClose;
      token.text = std::string(1, c);
      ++at_;
      return token;
    }
    if (c == '"') return Quoted(std::move(token));
    if (c == '=' || c == '<' || c == '>' || c == '!') return Operator(std::move(token));
    token.kind = Token::Kind::kWord;
    while (at_ < text_.size() && IsWordByte(text_[at_])) token.text.push_back(text_[at_++]);
    if (token.text.empty()) return Problem(at_, text_.substr(at_, 1), "unexpected character");
    return token;
  }

 private:
  absl::StatusOr<Token> Quoted(Token token) {
    token.kind = Token::Kind::kQuoted;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        ++at_;
        return token;
      }
      if (text_[at_] == '\\') {
        if (++at_ == text_.size()) break;
        if (text_[at_] != '"' && text_[at_] != '\\' && text_[at_] != '*') {
          return Problem(at_ - 1, text_.substr(at_ - 1, 2), "only \\\", \\\\ and \\* are escapes");
        }
        token.text.push_back(text_[at_]);
        token.star = false;
        continue;
      }
      token.text.push_back(text_[at_]);
      token.star = text_[at_] == '*';
    }
    return Problem(token.at, "\"", "this quote is not closed");
  }
  absl::StatusOr<Token> Operator(Token token) {
    token.kind = Token::Kind::kOp;
    token.text.push_back(text_[at_++]);
    if (at_ < text_.size() && text_[at_] == '=' && token.text != "=") {
      token.text.push_back(text_[at_++]);
    }
    if (token.text == "!") return Problem(token.at, "!", "write != or NOT");
    return token;
  }

  const absl::string_view text_;
  size_t at_ = 0;
};

class Parser {
 public:
  Parser(absl::string_view text, Filter::Fields fields) : lexer_(text), fields_(fields) {}

  absl::StatusOr<FilterNode> Run() {
    if (absl::Status status = Advance(); !status.ok()) return status;
    absl::StatusOr<FilterNode> node = And(0);
    if (!node.ok()) return node;
    if (token_.kind != Token::Kind::kEnd) {
      return Problem(token_.at, token_.text, "expected AND, OR or the end");
    }
    return node;
  }

 private:
  absl::Status Advance() {
    absl::StatusOr<Token> next = lexer_.Next();
    if (!next.ok()) return next.status();
    token_ = *std::move(next);
    return absl::OkStatus();
  }
  bool AtWord(absl::string_view word) const {
    return token_.kind == Token::Kind::kWord && token_.text == word;
  }

  using Rule = absl::StatusOr<FilterNode> (Parser::*)(int);
  absl::StatusOr<FilterNode> Chain(absl::string_view word, FilterNode::Kind kind, Rule operand,
                                   int depth) {
    absl::StatusOr<FilterNode> first = (this->*operand)(depth);
    if (!first.ok() || !AtWord(word)) return first;
    FilterNode node;
    node.kind = kind;
    node.children.push_back(*std::move(first));
    while (AtWord(word)) {
      if (absl::Status status = Advance(); !status.ok()) return status;
      absl::StatusOr<FilterNode> next = (this->*operand)(depth);
      if (!next.ok()) return next;
      node.children.push_back(*std::move(next));
    }
    return node;
  }
  absl::StatusOr<FilterNode> And(int depth) {
    return Chain("AND", FilterNode::Kind::kAnd, &Parser::Or, depth);
  }
  absl::StatusOr<FilterNode> Or(int depth) {
    return Chain("OR", FilterNode::Kind::kOr, &Parser::Term, depth);
  }
  absl::StatusOr<FilterNode> Term(int depth) {
    if (depth >= kMaxDepth) {
      return Problem(token_.at, token_.text, absl::StrCat("deeper than ", kMaxDepth, " levels"));
    }
    if (AtWord("NOT")) {
      if (absl::Status status = Advance(); !status.ok()) return status;
      absl::StatusOr<FilterNode> inner = Term(depth + 1);
      if (!inner.ok()) return inner;
      FilterNode node;
      node.kind = FilterNode::Kind::kNot;
      node.children.push_back(*std::move(inner));
      return node;
    }
    if (token_.kind == Token::Kind::kOpen) {
      if (absl::Status status = Advance(); !status.ok()) return status;
      absl::StatusOr<FilterNode> inner = And(depth + 1);
      if (!inner.ok()) return inner;
      if (token_.kind != Token::Kind::kClose) {
        return Problem(token_.at, token_.text, "expected ')'");
      }
      if (absl::Status status = Advance(); !status.ok()) return status;
      return inner;
    }
    return Compare();
  }

  absl::StatusOr<FilterNode> Compare() {
    if (token_.kind != Token::Kind::kWord) {
      return Problem(token_.at, token_.text, "expected a field");
    }
    if (++comparisons_ > kMaxComparisons) {
      return Problem(token_.at, token_.text,
                     absl::StrCat("more than ", kMaxComparisons, " comparisons"));
    }
    FilterNode node;
    const absl::string_view name = token_.text;
    node.field = FindFilterField(name, &node.label_key);
    if (node.field == nullptr) {
      return Problem(token_.at, name,
                     absl::StrCat("no such field; fields are ", FilterFieldNames()));
    }
    if (fields_ == Filter::Fields::kDocument && !node.field->document) {
      return Problem(token_.at, name, "only fields of the document can be used here");
    }
    if (absl::Status status = Advance(); !status.ok()) return status;
    if (token_.kind != Token::Kind::kOp) {
      return Problem(token_.at, token_.text, "expected one of = != < <= > >=");
    }
    node.op = token_.text == "="    ? Op::kEq
              : token_.text == "!=" ? Op::kNe
              : token_.text == "<"  ? Op::kLt
              : token_.text == "<=" ? Op::kLe
              : token_.text == ">"  ? Op::kGt
                                    : Op::kGe;
    if (absl::Status status = Advance(); !status.ok()) return status;
    if (token_.kind != Token::Kind::kWord && token_.kind != Token::Kind::kQuoted) {
      return Problem(token_.at, token_.text, "expected a value");
    }
    if (absl::Status status = Value(node); !status.ok()) return status;
    if (absl::Status status = Advance(); !status.ok()) return status;
    return node;
  }

  absl::Status Value(FilterNode& node) {
    const bool equality = node.op == Op::kEq || node.op == Op::kNe;
    node.text = token_.text;
    switch (node.field->type) {
      case FieldType::kText:
        if (absl::EndsWith(node.text, "*") && (token_.kind == Token::Kind::kWord || token_.star)) {
          if (!equality) return Problem(token_.at, node.text, "a final * goes with = and != only");
          node.text.pop_back();
          node.prefix = true;
        }
        return absl::OkStatus();
      case FieldType::kNumber:
        if (!absl::SimpleAtoi(node.text, &node.number)) {
          return Problem(token_.at, node.text, "expected a whole number");
        }
        return absl::OkStatus();
      case FieldType::kBool:
        if (!equality || (node.text != "true" && node.text != "false")) {
          return Problem(token_.at, node.text, "expected = or != with true or false");
        }
        node.number = node.text == "true" ? 1 : 0;
        return absl::OkStatus();
      case FieldType::kTime: {
        absl::Time time;
        std::string error;
        if (!absl::ParseTime(absl::RFC3339_full, node.text, &time, &error)) {
          return Problem(token_.at, node.text, "expected a time such as 2026-01-31T12:00:00Z");
        }
        node.number = absl::ToUnixMicros(time);
        return absl::OkStatus();
      }
      case FieldType::kEnum: {
        if (!equality) return Problem(token_.at, node.text, "goes with = and != only");
        const std::optional<int64_t> value = node.field->parse(absl::AsciiStrToLower(node.text));
        if (!value.has_value()) return Problem(token_.at, node.text, "no such value of this field");
        node.number = *value;
        return absl::OkStatus();
      }
    }
    return absl::OkStatus();
  }

  Lexer lexer_;
  const Filter::Fields fields_;
  Token token_;
  int comparisons_ = 0;
};

template <typename T>
bool Compare(Op op, const T& a, const T& b) {
  switch (op) {
    case Op::kEq:
      return a == b;
    case Op::kNe:
      return a != b;
    case Op::kLt:
      return a < b;
    case Op::kLe:
      return a <= b;
    case Op::kGt:
      return a > b;
    case Op::kGe:
      return a >= b;
  }
  return false;
}

bool Holds(const FilterNode& node, const core::CredentialRow& row) {
  switch (node.kind) {
    case FilterNode::Kind::kAnd:
      return std::all_of(node.children.begin(), node.children.end(),
                         [&](const FilterNode& child) { return Holds(child, row); });
    case FilterNode::Kind::kOr:
      return std::any_of(node.children.begin(), node.children.end(),
                         [&](const FilterNode& child) { return Holds(child, row); });
    case FilterNode::Kind::kNot:
      return !Holds(node.children[0], row);
    case FilterNode::Kind::kCompare:
      break;
  }
  if (node.field->type == FieldType::kText) {
    const absl::string_view text = node.field->text(row, node.label_key);
    if (node.prefix) return absl::StartsWith(text, node.text) == (node.op == Op::kEq);
    return Compare<absl::string_view>(node.op, text, node.text);
  }
  const std::optional<int64_t> number = node.field->number(row);
  if (!number.has_value()) return node.op == Op::kNe;
  return Compare<int64_t>(node.op, *number, node.number);
}

}  // namespace

absl::StatusOr<Filter> Filter::Parse(absl::string_view text, Fields fields) {
  Filter filter;
  if (text.size() > kMaxFilterBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("is ", text.size(), " bytes; at most ", kMaxFilterBytes));
  }
  if (absl::StripAsciiWhitespace(text).empty()) return filter;
  absl::StatusOr<FilterNode> node = Parser(text, fields).Run();
  if (!node.ok()) return node.status();
  filter.root_ = std::make_shared<const FilterNode>(*std::move(node));
  return filter;
}

bool Filter::Matches(const core::CredentialRow& row) const {
  return root_ == nullptr || Holds(*root_, row);
}

bool Filter::MatchesDocument(const core::Document& document) const {
  core::CredentialRow row;
  row.document = &document;
  return Matches(row);
}

absl::StatusOr<Order> ParseOrder(absl::string_view text) {
  Order order;
  std::vector<absl::string_view> parts = absl::StrSplit(text, ',');
  if (parts.size() > 2 || (parts.size() == 2 && absl::StripAsciiWhitespace(parts[1]) != "id")) {
    return absl::InvalidArgumentError("one field, at most followed by \", id\"");
  }
  const std::vector<absl::string_view> words =
      absl::StrSplit(parts[0], absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (words.empty()) return order;
  constexpr std::array<std::pair<absl::string_view, Order::Key>, 5> kKeys = {{
      {"id", Order::Key::kId},
      {"priority", Order::Key::kPriority},
      {"create_time", Order::Key::kCreateTime},
      {"next_recover_time", Order::Key::kNextRecover},
      {"in_flight", Order::Key::kInFlight},
  }};
  const auto found = std::find_if(kKeys.begin(), kKeys.end(),
                                  [&](const auto& key) { return key.first == words[0]; });
  if (found == kKeys.end()) {
    return Problem(0, words[0],
                   "no such order; it is one of id, priority, create_time, next_recover_time, "
                   "in_flight");
  }
  order.key = found->second;
  if (words.size() > 2 || (words.size() == 2 && words[1] != "desc" && words[1] != "asc")) {
    return Problem(words[0].size() + 1, words[1], "only \"desc\" or \"asc\" may follow the field");
  }
  order.descending = words.size() == 2 && words[1] == "desc";
  return order;
}

int64_t Order::KeyOf(const core::CredentialRow& row) const {
  switch (key) {
    case Key::kId:
      return 0;
    case Key::kPriority:
      return row.document->priority;
    case Key::kCreateTime:
      return absl::ToUnixMicros(row.document->create_time);
    case Key::kNextRecover:
      // Those that do not wait come last, whichever way.
      if (row.state == core::State::kWaiting) return absl::ToUnixMicros(row.next_recover);
      return descending ? INT64_MIN : INT64_MAX;
    case Key::kInFlight:
      return row.in_flight;
  }
  return 0;
}

}  // namespace credbroker::rpc
