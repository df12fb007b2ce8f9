#include "server/store/sqlite_load.h"

#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/store/check_writes.h"

namespace credbroker::store {
namespace {

constexpr size_t kMaxDescriptions = 16;

class Loader {
 public:
  Loader(SqliteConnection& db, absl::FunctionRef<absl::Status(Row)> visit)
      : db_(db), visit_(visit) {}

  absl::StatusOr<LoadReport> Run() {
    absl::Status status = Scan();
    if (absl::IsDataLoss(status)) {
      Describe(status.message());
      status = WalkIndex();
    }
    if (!visitor_status_.ok()) return visitor_status_;
    if (!status.ok()) return status;
    return std::move(report_);
  }

 private:
  void Describe(absl::string_view damage) {
    if (report_.damage.size() < kMaxDescriptions) report_.damage.emplace_back(damage);
  }

  // Cancelled stops every way down; Run then answers the visitor's own status.
  absl::Status Deliver(Row row) {
    last_ = {row.kind, row.key};
    ++report_.rows;
    visitor_status_ = visit_(std::move(row));
    return visitor_status_.ok() ? absl::OkStatus() : absl::CancelledError("stopped by the visitor");
  }

  bool IsDelivered(RowKind kind, absl::string_view key) const {
    return last_.has_value() &&
           std::tie(kind, key) <= std::make_tuple(last_->first, absl::string_view(last_->second));
  }

  // Columns kind, key, version, value starting at `column`; nullopt: no such row can exist.
  static std::optional<Row> RowAt(const SqliteStatement& statement, int column) {
    const int64_t kind = statement.Int(column);
    const int64_t version = statement.Int(column + 2);
    if (kind <= 0 || kind > 255 || version <= 0) return std::nullopt;
    return Row{static_cast<RowKind>(kind), std::string(statement.Bytes(column + 1)),
               static_cast<uint64_t>(version), std::string(statement.Bytes(column + 3))};
  }

  absl::Status DeliverOrCount(std::optional<Row> row) {
    if (row.has_value()) return Deliver(*std::move(row));
    ++report_.damaged;
    Describe("a row with an impossible kind or version");
    return absl::OkStatus();
  }

  absl::Status Scan() {
    absl::StatusOr<SqliteStatement> rows =
        db_.Prepare("SELECT kind, key, version, value FROM rows ORDER BY kind, key");
    if (!rows.ok()) return rows.status();
    while (true) {
      absl::StatusOr<bool> more = rows->Step();
      if (!more.ok()) return more.status();
      if (!*more) return absl::OkStatus();
      absl::Status delivered = DeliverOrCount(RowAt(*rows, 0));
      if (!delivered.ok()) return delivered;
    }
  }

  absl::Status WalkIndex() {
    absl::StatusOr<SqliteStatement> names = db_.Prepare(
        "SELECT kind, key, id FROM rows INDEXED BY sqlite_autoindex_rows_1 "
        "ORDER BY kind, key");
    if (!names.ok()) return names.status();
    absl::StatusOr<SqliteStatement> fetch =
        db_.Prepare("SELECT kind, key, version, value FROM rows WHERE id = ?1");
    if (!fetch.ok()) return fetch.status();
    while (true) {
      absl::StatusOr<bool> more = names->Step();
      if (!more.ok()) return more.status();
      if (!*more) return absl::OkStatus();
      const RowKind kind = static_cast<RowKind>(names->Int(0));
      if (IsDelivered(kind, names->Bytes(1))) continue;
      fetch->Bind(1, names->Int(2));
      absl::StatusOr<bool> found = fetch->Step();
      std::optional<Row> row;
      if (found.ok() && *found) row = RowAt(*fetch, 0);
      fetch->Reset();
      if (!found.ok() && !absl::IsDataLoss(found.status())) return found.status();
      if (!row.has_value() || row->kind != kind || row->key != names->Bytes(1)) {
        ++report_.damaged;
        Describe(RowName(kind, names->Bytes(1)));
        continue;
      }
      absl::Status delivered = Deliver(*std::move(row));
      if (!delivered.ok()) return delivered;
    }
  }

  SqliteConnection& db_;
  absl::FunctionRef<absl::Status(Row)> visit_;
  LoadReport report_;
  absl::Status visitor_status_;
  std::optional<std::pair<RowKind, std::string>> last_;  // the last row delivered
};

}  // namespace

absl::StatusOr<LoadReport> LoadSqliteRows(SqliteConnection& db,
                                          absl::FunctionRef<absl::Status(Row)> visit) {
  // One snapshot for both ways.
  absl::Status begun = db.Execute("BEGIN");
  if (!begun.ok()) return begun;
  absl::StatusOr<LoadReport> report = Loader(db, visit).Run();
  db.Rollback();
  return report;
}

}  // namespace credbroker::store
