#include "server/store/sqlite_pages.h"

#include <array>
#include <cstdint>
#include <fstream>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/store/check_writes.h"
#include "server/store/sqlite_schema.h"

namespace credbroker::store {
namespace {

constexpr unsigned char kTableLeaf = 0x0d, kTableInner = 0x05;

uint32_t BigEndian(absl::string_view bytes, size_t at, size_t size) {
  uint32_t value = 0;
  for (size_t i = 0; i < size; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// Takes bytes from the front of a record; every step says whether there was enough.
class Cursor {
 public:
  explicit Cursor(absl::string_view rest) : rest_(rest) {}

  std::optional<uint64_t> Varint() {
    uint64_t value = 0;
    for (size_t i = 0; i < 9 && i < rest_.size(); ++i) {
      const auto byte = static_cast<unsigned char>(rest_[i]);
      if (i == 8) {
        rest_.remove_prefix(9);
        return value << 8 | byte;
      }
      value = value << 7 | (byte & 0x7f);
      if (byte < 0x80) {
        rest_.remove_prefix(i + 1);
        return value;
      }
    }
    return std::nullopt;
  }
  std::optional<absl::string_view> Take(uint64_t size) {
    if (size > rest_.size()) return std::nullopt;
    const absl::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  absl::string_view rest() const { return rest_; }

 private:
  absl::string_view rest_;
};

// Serial types of the record format.
bool IsInteger(uint64_t type) { return (type >= 1 && type <= 6) || type == 8 || type == 9; }
bool IsBlob(uint64_t type) { return type >= 12 && type % 2 == 0; }
uint64_t SizeOf(uint64_t type) {
  constexpr std::array<uint64_t, 12> kSizes = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0};
  return type < kSizes.size() ? kSizes[type] : (type - 12) / 2;
}

uint64_t IntegerOf(uint64_t type, absl::string_view bytes) {
  if (type == 8 || type == 9) return type - 8;
  uint64_t value = 0;  // kinds and versions are positive: a negative one is damage
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

// A record of (id NULL, kind, key, version, value); nothing if it is any other.
std::optional<Row> ParseRow(absl::string_view record) {
  Cursor whole(record);
  const auto header_size = whole.Varint();
  const size_t taken = record.size() - whole.rest().size();
  if (!header_size || *header_size < taken) return std::nullopt;
  const auto header_bytes = whole.Take(*header_size - taken);
  if (!header_bytes) return std::nullopt;
  Cursor header(*header_bytes);
  std::array<uint64_t, 5> types{};
  std::array<absl::string_view, 5> columns;
  for (size_t i = 0; i < types.size(); ++i) {
    const auto type = header.Varint();
    if (!type) return std::nullopt;
    types[i] = *type;
    const auto bytes = whole.Take(SizeOf(*type));
    if (!bytes) return std::nullopt;
    columns[i] = *bytes;
  }
  if (!header.rest().empty() || !whole.rest().empty() || types[0] != 0 || !IsInteger(types[1]) ||
      !IsBlob(types[2]) || !IsInteger(types[3]) || !IsBlob(types[4])) {
    return std::nullopt;
  }
  const uint64_t kind = IntegerOf(types[1], columns[1]);
  const uint64_t version = IntegerOf(types[3], columns[3]);
  if (kind == 0 || kind > 255 || version == 0 || version > kMaxVersion) return std::nullopt;
  return Row{static_cast<RowKind>(kind), std::string(columns[2]), version, std::string(columns[4])};
}

class PageFile {
 public:
  explicit PageFile(const std::string& path) : file_(path, std::ios::binary) {
    file_.seekg(0, std::ios::end);
    if (file_) pages_ = static_cast<uint64_t>(file_.tellg()) / kSqlitePageBytes;
  }
  bool good() const { return pages_ > 0; }
  uint64_t pages() const { return pages_; }

  // Pages count from 1; empty: there is none of that number.
  std::string Read(uint64_t number) {
    std::string page(kSqlitePageBytes, '\0');
    if (number == 0 || number > pages_) return "";
    file_.clear();
    file_.seekg(static_cast<std::streamoff>((number - 1) * kSqlitePageBytes));
    file_.read(page.data(), static_cast<std::streamsize>(page.size()));
    return file_ ? page : "";
  }

 private:
  std::ifstream file_;
  uint64_t pages_ = 0;
};

class LeafReader {
 public:
  LeafReader(PageFile& file, absl::FunctionRef<absl::Status(Row)> visit)
      : file_(file), visit_(visit), free_(file.pages() + 1) {}

  absl::Status Run(bool wiped, uint32_t root) {
    if (!wiped && !FindFreePages()) {
      free_.assign(free_.size(), false);
      return Walk(root);
    }
    // Page 1 holds the schema.
    for (uint64_t number = 2; number <= file_.pages(); ++number) {
      if (free_[number]) continue;
      const std::string page = file_.Read(number);
      if (page.empty()) return absl::UnavailableError("cannot read a page");
      if (static_cast<unsigned char>(page[0]) != kTableLeaf) continue;
      if (absl::Status status = VisitLeaf(page); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  // Marks trunk and leaf pages of the list; false: it does not agree with its count.
  bool FindFreePages() {
    const std::string first = file_.Read(1);
    if (first.empty() || !SqliteHeaderDamage(first).empty()) return false;
    const uint32_t count = BigEndian(first, kSqliteFreelistCount, 4);
    uint32_t found = 0;
    uint32_t trunk = BigEndian(first, kSqliteFreelistHead, 4);
    while (trunk != 0) {
      const std::string page = file_.Read(trunk);
      if (page.empty() || !Mark(trunk, found)) return false;
      const uint32_t leaves = BigEndian(page, 4, 4);
      if (leaves > kSqlitePageBytes / 4 - 2) return false;
      for (uint32_t i = 0; i < leaves; ++i) {
        if (!Mark(BigEndian(page, 8 + i * 4, 4), found)) return false;
      }
      trunk = BigEndian(page, 0, 4);
    }
    return found == count;
  }

  bool Mark(uint32_t number, uint32_t& found) {
    if (number < 2 || number >= free_.size() || free_[number]) return false;
    free_[number] = true;
    ++found;
    return true;
  }

  // Every leaf below `root`, children before their right neighbours.
  absl::Status Walk(uint32_t root) {
    std::vector<uint32_t> ahead = {root};
    std::vector<bool> seen(free_.size());
    while (!ahead.empty()) {
      const uint32_t number = ahead.back();
      ahead.pop_back();
      if (number < 2 || number >= seen.size() || seen[number]) continue;
      seen[number] = true;
      const std::string page = file_.Read(number);
      if (page.empty()) return absl::UnavailableError("cannot read a page");
      const auto type = static_cast<unsigned char>(page[0]);
      if (type == kTableLeaf) {
        if (absl::Status status = VisitLeaf(page); !status.ok()) return status;
      } else if (type == kTableInner) {
        ahead.push_back(BigEndian(page, 8, 4));
        for (size_t i = BigEndian(page, 3, 2); i-- > 0;) {
          const size_t pointer = 12 + i * 2;
          if (pointer + 2 > page.size()) continue;
          const size_t at = BigEndian(page, pointer, 2);
          if (at + 4 <= page.size()) ahead.push_back(BigEndian(page, at, 4));
        }
      }
    }
    return absl::OkStatus();
  }

  absl::Status VisitLeaf(absl::string_view page) {
    const size_t cells = BigEndian(page, 3, 2);
    for (size_t i = 0; i < cells && 8 + i * 2 + 2 <= page.size(); ++i) {
      const size_t at = BigEndian(page, 8 + i * 2, 2);
      if (at >= page.size()) continue;
      std::optional<std::string> record = Record(page.substr(at));
      std::optional<Row> row = record ? ParseRow(*record) : std::nullopt;
      if (!row) continue;
      if (absl::Status status = visit_(*std::move(row)); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // The payload of a cell of a table leaf, with what lies on overflow pages.
  std::optional<std::string> Record(absl::string_view cell) {
    Cursor cursor(cell);
    const auto size = cursor.Varint();
    const auto rowid = cursor.Varint();
    if (!size || !rowid || *size > file_.pages() * kSqlitePageBytes) return std::nullopt;
    constexpr uint64_t kUsable = kSqlitePageBytes;
    constexpr uint64_t kMost = kUsable - 35;
    constexpr uint64_t kLeast = (kUsable - 12) * 32 / 255 - 23;
    uint64_t local = *size;
    if (*size > kMost) {
      local = kLeast + (*size - kLeast) % (kUsable - 4);
      if (local > kMost) local = kLeast;
    }
    const auto here = cursor.Take(local);
    if (!here) return std::nullopt;
    std::string record(*here);
    if (local == *size) return record;
    const auto next = cursor.Take(4);
    if (!next) return std::nullopt;
    uint32_t overflow = BigEndian(*next, 0, 4);
    while (record.size() < *size) {
      // A free page would be of something else; no page is used twice, so this ends.
      if (overflow >= free_.size() || free_[overflow]) return std::nullopt;
      const std::string page = file_.Read(overflow);
      if (page.empty()) return std::nullopt;
      record += page.substr(4, *size - record.size());
      overflow = BigEndian(page, 0, 4);
    }
    return record;
  }

  PageFile& file_;
  absl::FunctionRef<absl::Status(Row)> visit_;
  std::vector<bool> free_;  // by page number
};

}  // namespace

std::string SqliteHeaderDamage(absl::string_view bytes) {
  struct Field {
    size_t at, size;
    uint32_t value;
    const char* name;
  };
  // Write and read version 2: WAL. The payload fractions are fixed by the format.
  constexpr Field kFields[] = {
      {16, 2, kSqlitePageBytes, "page size"},
      {18, 1, 2, "write version"},
      {19, 1, 2, "read version"},
      {20, 1, 0, "reserved bytes"},
      {21, 1, 64, "payload fraction"},
      {22, 1, 32, "payload fraction"},
      {23, 1, 32, "payload fraction"},
      {44, 4, 4, "schema format"},
      {52, 4, 0, "vacuum mode"},
      {56, 4, 1, "text encoding"},
      {68, 4, kSqliteApplicationId, "application id"},
  };
  if (bytes.size() < kSqliteHeaderBytes) return "the file ends inside its header";
  if (!absl::StartsWith(bytes, absl::string_view("SQLite format 3\0", 16))) {
    return "the header does not begin as that of a SQLite file";
  }
  for (const Field& field : kFields) {
    const uint32_t found = BigEndian(bytes, field.at, field.size);
    if (found != field.value) {
      return absl::StrCat("the header's ", field.name, " is ", found, ", not ", field.value);
    }
  }
  return "";
}

absl::Status ReadSqliteLeaves(const std::string& path, bool wiped, uint32_t root,
                              absl::FunctionRef<absl::Status(Row)> visit) {
  PageFile file(path);
  if (!file.good()) return absl::UnavailableError(absl::StrCat("cannot read ", path));
  return LeafReader(file, visit).Run(wiped, root);
}

}  // namespace credbroker::store
