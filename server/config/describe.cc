#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/config/config.h"
#include "server/config/scalar.h"

namespace credbroker::config {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Double quotes: in YAML the one form that needs no thought about its content.
std::string Text(absl::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

class Writer {
 public:
  std::string Take() { return std::move(out_); }

  // `indent` of each line; the first one goes on after what is already written if `inline_first`.
  void Fields(const Message& message, int indent, bool inline_first) {
    std::vector<const FieldDescriptor*> fields;
    message.GetReflection()->ListFields(message, &fields);
    for (const FieldDescriptor* field : fields) {
      if (!inline_first) out_.append(static_cast<size_t>(indent), ' ');
      inline_first = false;
      absl::StrAppend(&out_, field->name(), ":");
      if (field->is_map()) {
        Map(message, *field, indent + 2);
      } else if (field->is_repeated()) {
        List(message, *field, indent + 2);
      } else if (IsPlainMessage(*field)) {
        const Message& sub = message.GetReflection()->GetMessage(message, field);
        Nested(sub, indent + 2);
      } else {
        absl::StrAppend(&out_, " ", Scalar(message, *field, -1), "\n");
      }
    }
  }

 private:
  static bool IsPlainMessage(const FieldDescriptor& field) {
    return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
           field.message_type()->full_name() != "google.protobuf.Duration";
  }

  static bool IsEmpty(const Message& message) {
    std::vector<const FieldDescriptor*> fields;
    message.GetReflection()->ListFields(message, &fields);
    return fields.empty();
  }

  void Nested(const Message& message, int indent) {
    if (IsEmpty(message)) {
      absl::StrAppend(&out_, " {}\n");
      return;
    }
    out_ += '\n';
    Fields(message, indent, false);
  }

  void List(const Message& message, const FieldDescriptor& field, int indent) {
    out_ += '\n';
    const auto& reflection = *message.GetReflection();
    for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
      out_.append(static_cast<size_t>(indent), ' ');
      if (IsPlainMessage(field)) {
        out_ += "- ";
        Fields(reflection.GetRepeatedMessage(message, &field, i), indent + 2, true);
      } else {
        absl::StrAppend(&out_, "- ", Scalar(message, field, i), "\n");
      }
    }
  }

  void Map(const Message& message, const FieldDescriptor& field, int indent) {
    out_ += '\n';
    const auto& reflection = *message.GetReflection();
    for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
      const Message& pair = reflection.GetRepeatedMessage(message, &field, i);
      const auto& type = *pair.GetDescriptor();
      out_.append(static_cast<size_t>(indent), ' ');
      absl::StrAppend(&out_, Scalar(pair, *type.FindFieldByNumber(1), -1), ": ",
                      Scalar(pair, *type.FindFieldByNumber(2), -1), "\n");
    }
  }

  // Of item `index` of a list, or of a single field with -1.
  static std::string Scalar(const Message& message, const FieldDescriptor& field, int index) {
    const auto& get = *message.GetReflection();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        return Text(index < 0 ? get.GetString(message, &field)
                              : get.GetRepeatedString(message, &field, index));
      case FieldDescriptor::CPPTYPE_UINT32:
        return absl::StrCat(index < 0 ? get.GetUInt32(message, &field)
                                      : get.GetRepeatedUInt32(message, &field, index));
      case FieldDescriptor::CPPTYPE_BOOL:
        return get.GetBool(message, &field) ? "true" : "false";
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return absl::StrCat(get.GetDouble(message, &field));
      case FieldDescriptor::CPPTYPE_ENUM:
        return EnumText(*get.GetEnum(message, &field));
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return DurationText(ToDuration(
            static_cast<const google::protobuf::Duration&>(get.GetMessage(message, &field))));
      default:
        return "?";
    }
  }

  std::string out_;
};

}  // namespace

std::string Describe(const Loaded& loaded) {
  Writer writer;
  writer.Fields(loaded.config, 0, false);
  return writer.Take();
}

}  // namespace credbroker::config
