// Documents and secrets of create and update, from flags and files.
//
// A secret comes from a file or standard input only, never from the command line, and no message
// quotes what was read.
#ifndef CREDBROKER_CLIENT_CTL_CREDENTIAL_INPUT_H_
#define CREDBROKER_CLIENT_CTL_CREDENTIAL_INPUT_H_

#include <deque>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "client/ctl/context.h"
#include "client/ctl/flags.h"
#include "credbroker/v1/credential.pb.h"

namespace credbroker::ctl {

// The secrets. Not thread-safe.
class SecretInput {
 public:
  void AddFlags(FlagSet& flags);
  // Nothing if no secret was given. INVALID_ARGUMENT if a file cannot be read or is no secret.
  absl::StatusOr<std::optional<v1::SecretMaterial>> Read(Context& context) const;

 private:
  absl::Status ReadObject(Context& context, v1::SecretMaterial* secret) const;

  std::string object_path_;
  // Field of SecretMaterial and the file it comes from; a deque: flags point into it.
  std::deque<std::pair<std::string, std::string>> paths_;
  google::protobuf::Map<std::string, std::string> extra_paths_;
  std::optional<Moment> expire_;
};

// The document. Not thread-safe.
class DocumentInput {
 public:
  void AddFlags(FlagSet& flags);

  struct Document {
    v1::Credential credential;
    // Fields that were given, as an update mask names them.
    std::set<std::string> fields;
  };
  // --from, overridden by the other flags.
  absl::StatusOr<Document> Read(Context& context) const;

 private:
  struct Value {
    std::string field;
    std::optional<std::string> text;
    std::optional<int64_t> number;
  };
  void AddText(FlagSet& flags, const char* flag, const char* field, const char* help);
  void AddNumber(FlagSet& flags, const char* flag, const char* field, int64_t least, int64_t most,
                 const char* help);
  absl::Status ReadFrom(Context& context, Document* document) const;

  std::string from_;
  std::deque<Value> values_;
  std::optional<std::string> proxy_;
  v1::CredentialKind kind_ = v1::CREDENTIAL_KIND_UNSPECIFIED;
  google::protobuf::Map<std::string, std::string> labels_;
  std::vector<std::string> models_;
  std::vector<std::string> excluded_models_;
  std::optional<bool> disable_cooling_;
};

}  // namespace credbroker::ctl

#endif  // CREDBROKER_CLIENT_CTL_CREDENTIAL_INPUT_H_
