#include "client/ctl/table.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/ctl/display.h"

namespace credbroker::ctl {
namespace {

constexpr int kGap = 2;
constexpr int kLeastWidth = 8;

const char* Code(Color color) {
  switch (color) {
    case Color::kGreen:
      return "32";
    case Color::kYellow:
      return "33";
    case Color::kRed:
      return "31";
    case Color::kDim:
      return "2";
    case Color::kBold:
      return "1";
    case Color::kNone:
      break;
  }
  return "";
}

}  // namespace

std::string Paint(absl::string_view text, Color color, const Style& style) {
  if (!style.color || color == Color::kNone || text.empty()) return std::string(text);
  return absl::StrCat("\x1b[", Code(color), "m", text, "\x1b[0m");
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::Add(std::vector<Cell> cells) {
  for (Cell& cell : cells) {
    cell.text = cell.text.empty() ? "-" : Printable(cell.text);
  }
  cells.resize(columns_.size(), Cell("-"));
  rows_.push_back(std::move(cells));
}

std::vector<int> Table::Widths(const Style& style) const {
  std::vector<int> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    int width = DisplayWidth(columns_[i].title);
    for (const auto& row : rows_) width = std::max(width, DisplayWidth(row[i].text));
    widths.push_back(width);
  }
  if (style.width <= 0) return widths;
  int excess = std::accumulate(widths.begin(), widths.end(), 0) +
               kGap * (static_cast<int>(widths.size()) - 1) - style.width;
  while (excess > 0) {
    int* widest = nullptr;
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].shrink && widths[i] > kLeastWidth &&
          (widest == nullptr || widths[i] > *widest)) {
        widest = &widths[i];
      }
    }
    if (widest == nullptr) break;
    --*widest;
    --excess;
  }
  return widths;
}

void Table::PrintRow(std::ostream& out, const std::vector<Cell>& row,
                     const std::vector<int>& widths, const Style& style) const {
  std::string line;
  int used = 0;
  int pending = 0;  // spaces owed before the next text, so that none end the line
  for (size_t i = 0; i < columns_.size(); ++i) {
    int width = widths[i];
    if (style.width > 0) width = std::min(width, style.width - used - pending);
    if (width <= 0) break;
    const std::string text = Clip(row[i].text, width);
    const int fill = width - DisplayWidth(text);
    const int before = pending + (columns_[i].right ? fill : 0);
    line.append(static_cast<size_t>(before), ' ');
    line += Paint(text, row[i].color, style);
    used += before + DisplayWidth(text);
    pending = kGap + (columns_[i].right ? 0 : fill);
  }
  out << line << '\n';
}

void Table::Print(std::ostream& out, const Style& style) const {
  if (rows_.empty()) return;
  const std::vector<int> widths = Widths(style);
  std::vector<Cell> header;
  header.reserve(columns_.size());
  for (const Column& column : columns_) header.emplace_back(column.title, Color::kBold);
  PrintRow(out, header, widths, style);
  for (const auto& row : rows_) PrintRow(out, row, widths, style);
}

void Facts::Add(absl::string_view name, Cell value) {
  if (value.text.empty()) return;
  value.text = Printable(value.text);
  facts_.emplace_back(std::string(name), std::move(value));
}

void Facts::Print(std::ostream& out, const Style& style) const {
  size_t width = 0;
  for (const auto& fact : facts_) width = std::max(width, fact.first.size());
  for (const auto& fact : facts_) {
    out << fact.first << std::string(width - fact.first.size() + kGap, ' ')
        << Paint(fact.second.text, fact.second.color, style) << '\n';
  }
}

}  // namespace credbroker::ctl
