#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/config/config.h"
#include "server/config/problems.h"

namespace credbroker::config {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// What a reload applies; a field that is not here, also one added later, needs a restart.
bool IsReloadable(const std::string& path) {
  for (const char* const field :
       {"groups", "providers", "policy", "labels", "limits", "sources", "sessions", "log.level"}) {
    if (path == field) return true;
  }
  return false;
}

// The value of field `index` (of a list) as bytes; what is not set gives none.
std::string Bytes(const Message& message, const FieldDescriptor& field) {
  // A copy with this field alone: its wire form is its value.
  Message* alone = message.New();
  std::vector<const FieldDescriptor*> fields;
  alone->CopyFrom(message);
  alone->GetReflection()->ListFields(*alone, &fields);
  for (const FieldDescriptor* other : fields) {
    if (other != &field) alone->GetReflection()->ClearField(alone, other);
  }
  std::string out = alone->SerializeAsString();
  delete alone;
  return out;
}

void Differences(const Message& old, const Message& now, const std::string& path,
                 std::vector<std::string>& out) {
  const auto& type = *old.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const std::string field_path = Join(path, field.name());
    if (IsReloadable(field_path)) continue;
    const bool message = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    const auto& reflection = *old.GetReflection();
    if (message && !field.is_repeated() && reflection.HasField(old, &field) &&
        now.GetReflection()->HasField(now, &field) &&
        field.message_type()->full_name() != "google.protobuf.Duration") {
      Differences(reflection.GetMessage(old, &field), reflection.GetMessage(now, &field),
                  field_path, out);
      continue;
    }
    const int size = field.is_repeated() ? reflection.FieldSize(old, &field) : 0;
    if (message && size > 0 && size == reflection.FieldSize(now, &field)) {
      for (int n = 0; n < size; ++n) {
        Differences(reflection.GetRepeatedMessage(old, &field, n),
                    reflection.GetRepeatedMessage(now, &field, n), Item(field_path, n), out);
      }
      continue;
    }
    if (Bytes(old, field) != Bytes(now, field)) out.push_back(field_path);
  }
}

}  // namespace

absl::Status CheckReloadable(const Loaded& old, const Loaded& now) {
  std::vector<std::string> changed;
  Differences(old.config, now.config, "", changed);
  if (changed.empty()) return absl::OkStatus();
  for (std::string& field : changed) {
    absl::StrAppend(&field,
                    ": cannot change while the server runs; restart it, or restore the old "
                    "value and reload");
  }
  return absl::FailedPreconditionError(absl::StrJoin(changed, "\n"));
}

}  // namespace credbroker::config
