// Aligned tables and lists of facts for people.
//
// Every cell is made printable (display.h), so text of the server cannot drive the terminal. No
// line ends in a space. Thread-safety: not thread-safe.
#ifndef CREDBROKER_CLIENT_CTL_TABLE_H_
#define CREDBROKER_CLIENT_CTL_TABLE_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace credbroker::ctl {

enum class Color { kNone, kGreen, kYellow, kRed, kDim, kBold };

struct Style {
  bool color = false;
  // Lines are cut there; 0: never.
  int width = 0;
};

struct Cell {
  Cell(std::string t, Color c = Color::kNone) : text(std::move(t)), color(c) {}  // NOLINT
  Cell(const char* t) : text(t) {}                                               // NOLINT
  std::string text;
  Color color = Color::kNone;
};

// `text` in `color`, or as it is.
std::string Paint(absl::string_view text, Color color, const Style& style);

class Table {
 public:
  struct Column {
    std::string title;
    // For numbers.
    bool right = false;
    // Gives way first when the line is too long.
    bool shrink = false;
  };

  explicit Table(std::vector<Column> columns);

  // REQUIRES: one cell a column. An empty cell is shown as "-".
  void Add(std::vector<Cell> cells);
  bool empty() const { return rows_.empty(); }
  // Nothing if there is no row.
  void Print(std::ostream& out, const Style& style) const;

 private:
  std::vector<int> Widths(const Style& style) const;
  void PrintRow(std::ostream& out, const std::vector<Cell>& row, const std::vector<int>& widths,
                const Style& style) const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// "name   value" lines. Values are never cut: people copy them.
class Facts {
 public:
  // Nothing if `value` is empty.
  void Add(absl::string_view name, Cell value);
  void Print(std::ostream& out, const Style& style) const;

 private:
  std::vector<std::pair<std::string, Cell>> facts_;
};

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_TABLE_H_
