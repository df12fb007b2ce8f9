// ImportCredentials: collects the files of a stream, then hands them to the importer.
#include "server/rpc/import_stream.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/import/export_file.h"
#include "server/import/importer.h"
#include "server/obs/log.h"
#include "server/rpc/convert.h"
#include "server/rpc/validate.h"

namespace credbroker::rpc {
namespace {

// What one stream may hold in memory.
constexpr size_t kMaxStreamBytes = size_t{256} << 20;
constexpr size_t kMaxFiles = 200'000;

grpc::Status ValidateHeader(const v1::ImportHeader& header) {
  Checker check("header.");
  check.Require(!header.source().empty(), "source");
  check.Name(header.source(), "source");
  check.Name(header.group(), "group");
  check.Name(header.provider(), "provider");
  check.Known(header.mode(), &v1::ImportMode_IsValid, "mode");
  if (header.key_per_line() && header.provider().empty()) {
    check.Add("provider", "is required with key_per_line");
  }
  check.Range(header.max_results(), 0, 100'000, "max_results");
  check.Count(static_cast<int>(header.labels().size()), 8, "labels");
  for (const auto& [key, value] : header.labels()) {
    check.Name(key, "labels");
    check.Text(value, 64, "labels");
  }
  check.Text(header.comment(), 512, "comment");
  return check.status();
}

using Job = import::ImportJob;  // a line that begins with "import" confuses clang-format

Job ToJob(const v1::ImportHeader& header, absl::string_view principal) {
  Job job;
  job.source.name = header.source();
  if (!header.group().empty()) job.source.group = header.group();
  job.source.provider = header.provider();
  job.source.mode = header.mode() == v1::IMPORT_MODE_SKIP   ? import::Mode::kSkip
                    : header.mode() == v1::IMPORT_MODE_FAIL ? import::Mode::kFail
                                                            : import::Mode::kUpdate;
  job.source.key_per_line = header.key_per_line();
  std::map<std::string, std::string> labels(header.labels().begin(), header.labels().end());
  job.source.labels.assign(labels.begin(), labels.end());
  job.dry_run = header.dry_run();
  if (header.max_results() > 0) job.max_results = header.max_results();
  job.actor = std::string(principal);
  job.comment = header.comment();
  return job;
}

v1::ImportAction ToProto(import::Action action) {
  switch (action) {
    case import::Action::kCreated:
      return v1::IMPORT_ACTION_CREATED;
    case import::Action::kUpdated:
      return v1::IMPORT_ACTION_UPDATED;
    case import::Action::kUnchanged:
      return v1::IMPORT_ACTION_UNCHANGED;
    case import::Action::kSkipped:
    case import::Action::kRetired:  // never of a one-shot import
      return v1::IMPORT_ACTION_SKIPPED;
    case import::Action::kRejected:
      return v1::IMPORT_ACTION_REJECTED;
    case import::Action::kRevived:
      return v1::IMPORT_ACTION_REVIVED;
  }
  return v1::IMPORT_ACTION_UNSPECIFIED;
}

v1::ErrorReason ToProto(import::Reason reason) {
  switch (reason) {
    case import::Reason::kNone:
      return v1::ERROR_REASON_UNSPECIFIED;
    case import::Reason::kInvalidFile:
      return v1::ERROR_REASON_INVALID_FILE;
    case import::Reason::kRefreshTokenSpent:
      return v1::ERROR_REASON_REFRESH_TOKEN_SPENT;
    case import::Reason::kRefreshTokenOwned:
      return v1::ERROR_REASON_REFRESH_TOKEN_OWNED;
    case import::Reason::kCredentialExists:
      return v1::ERROR_REASON_CREDENTIAL_EXISTS;
    case import::Reason::kRefused:
      return v1::ERROR_REASON_INVALID_FIELD;
    case import::Reason::kLimitReached:
      return v1::ERROR_REASON_LIMIT_REACHED;
  }
  return v1::ERROR_REASON_UNSPECIFIED;
}

v1::ImportCredentialsResponse ToResponse(const import::ImportReport& report) {
  v1::ImportCredentialsResponse out;
  for (const import::EntryResult& entry : report.results) {
    v1::ImportResult* result = out.add_results();
    result->set_relative_path(entry.path);
    result->set_index(entry.index);
    result->set_credential_id(entry.credential_id);
    result->set_action(ToProto(entry.action));
    result->set_reason(ToProto(entry.reason));
    result->set_message(entry.message);
    for (const std::string& field : entry.changed_fields) result->add_changed_fields(field);
  }
  out.set_results_truncated(report.results_truncated);
  out.set_file_count(report.files);
  out.set_created_count(report.count(import::Action::kCreated));
  out.set_updated_count(report.count(import::Action::kUpdated));
  out.set_unchanged_count(report.count(import::Action::kUnchanged));
  out.set_skipped_count(report.count(import::Action::kSkipped));
  out.set_rejected_count(report.count(import::Action::kRejected));
  out.set_revived_count(report.count(import::Action::kRevived));
  for (const std::string& warning : report.warnings) out.add_warnings(warning);
  out.set_batch_id(report.batch_id);
  return out;
}

// One stream of files. Loop thread until the worker takes it over.
class ImportRun {
 public:
  ImportRun(absl::string_view principal, std::shared_ptr<ClientStream> stream)
      : principal_(principal), stream_(std::move(stream)) {}
  ~ImportRun() {
    for (import::SourceFile& file : files_) core::WipeString(file.content);
  }

  void OnMessage(grpc::ByteBuffer& bytes) {
    v1::ImportCredentialsRequest request;
    grpc::Status status = Parse(bytes, request);
    if (status.ok()) status = Take(request);
    if (request.has_file()) core::WipeString(*request.mutable_file()->mutable_content());
    if (!status.ok()) return stream_->Fail(status);
    stream_->Next();
  }

  grpc::Status CheckEnd() const {
    if (!has_header_) return BadField("header", "must be the first message");
    return open_ ? BadField("file.continued", "the last file is not complete") : grpc::Status::OK;
  }
  void Apply(import::Importer& importer) {
    if (stream_->gone()) return;  // while it waited for its turn
    absl::StatusOr<import::ImportReport> report = importer.Import(job_, std::move(files_));
    files_.clear();
    if (!report.ok()) return stream_->Fail(FromAbsl(report.status()));
    if (!job_.dry_run) Log(*report);
    stream_->Finish(ToResponse(*report));
  }

 private:
  void Log(const import::ImportReport& report) const {
    obs::LogInfo("import", "files were imported by hand",
                 {{"source", job_.source.name},
                  {"actor", job_.actor},
                  {"batch_id", report.batch_id},
                  {"comment", job_.comment},
                  {"files", report.files},
                  {"rejected", report.count(import::Action::kRejected)}});
  }
  grpc::Status Take(const v1::ImportCredentialsRequest& request) {
    if (request.has_header()) {
      if (has_header_) return BadField("header", "came twice");
      if (grpc::Status status = ValidateHeader(request.header()); !status.ok()) return status;
      has_header_ = true;
      job_ = ToJob(request.header(), principal_);
      return grpc::Status::OK;
    }
    if (!has_header_) return BadField("header", "must be the first message");
    if (!request.has_file()) return BadField("part", "set header or file");
    const v1::ImportFile& file = request.file();
    if (open_ && file.relative_path() != files_.back().path) {
      return BadField("file.relative_path", "the file before it is not complete");
    }
    if (!open_) {
      if (absl::Status path = import::CheckRelativePath(file.relative_path()); !path.ok()) {
        return BadField("file.relative_path", path.message());
      }
      if (files_.size() >= kMaxFiles) return TooMuch("files in one import", kMaxFiles);
      files_.push_back({file.relative_path(), ""});
    }
    bytes_ += file.content().size();
    if (bytes_ > kMaxStreamBytes) return TooMuch("bytes in one import", kMaxStreamBytes);
    files_.back().content.append(file.content());
    open_ = file.continued();
    return grpc::Status::OK;
  }
  static grpc::Status TooMuch(const char* what, size_t limit) {
    return Error(v1::ERROR_REASON_LIMIT_REACHED,
                 absl::StrCat("more than ", limit, " ", what, "; split it"), {{"limit", what}});
  }

  const std::string principal_;
  const std::shared_ptr<ClientStream> stream_;
  Job job_;
  std::vector<import::SourceFile> files_;
  size_t bytes_ = 0;
  bool has_header_ = false;
  bool open_ = false;  // the last file goes on in the next message
};

}  // namespace

ImportHandler MakeImportHandler(import::Importer& importer) {
  return [&importer](const CallInfo& info, const std::shared_ptr<ClientStream>& stream,
                     Worker& worker) {
    auto run = std::make_shared<ImportRun>(info.principal, stream);
    const auto end = [&importer, &worker, run, stream] {
      if (grpc::Status status = run->CheckEnd(); !status.ok()) return stream->Fail(status);
      if (worker.Post([&importer, run] { run->Apply(importer); })) return;
      stream->Fail(Error(v1::ERROR_REASON_LIMIT_REACHED, "too many imports wait; try again soon",
                         {{"limit", "queued administration calls"}}));
    };
    stream->OnEvents({.message = [run](grpc::ByteBuffer& bytes) { run->OnMessage(bytes); },
                      .end = end,
                      .cancelled = nullptr});
  };
}

TokenRules MakeTokenRules(import::Importer& importer) {
  using Verdict = import::Importer::TokenVerdict;
  TokenRules rules;
  rules.check = [&importer](const std::string& id, const core::Secret& token) {
    switch (importer.JudgeToken(id, token)) {
      case Verdict::kSpent:
        return Error(v1::ERROR_REASON_REFRESH_TOKEN_SPENT,
                     "secret.refresh_token: was already exchanged here and is dead; log in again",
                     {{"id", id}});
      case Verdict::kOwned:
        return Error(v1::ERROR_REASON_REFRESH_TOKEN_OWNED,
                     "secret.refresh_token: belongs to another credential here; two owners would "
                     "destroy the login",
                     {{"id", id}});
      case Verdict::kFree:
        break;
    }
    return grpc::Status::OK;
  };
  rules.own = [&importer](const std::string& id, const core::Secret& token) {
    importer.tokens().Own(importer.tokens().HashOf(token), id);
  };
  return rules;
}

ExportFormat MakeExportFormat() {
  return [](const core::Document& document, const core::Intent& intent) {
    import::ExportedFile file = import::ExportCredential(document, intent);
    return ExportedFile{std::move(file.relative_path), std::move(file.json)};
  };
}

}  // namespace credbroker::rpc
