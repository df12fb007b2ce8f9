#include "server/config/reader.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "server/config/scalar.h"

namespace credbroker::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::OneofDescriptor;
using google::protobuf::Reflection;

bool IsDuration(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
         field.message_type()->full_name() == "google.protobuf.Duration";
}

bool IsPlainMessage(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field.is_repeated() &&
         !IsDuration(field);
}

std::string Describe(const Node& node) {
  switch (node.type) {
    case Node::Type::kNull:
      return "nothing";
    case Node::Type::kScalar:
      return Quoted(node.text);
    case Node::Type::kList:
      return "a list";
    case Node::Type::kMap:
      return "a mapping";
  }
  return "";
}

class Reader {
 public:
  explicit Reader(Problems& problems) : problems_(problems) {}

  void Fields(const Node& node, const std::string& path, Message& message) {
    const Descriptor& type = *message.GetDescriptor();
    absl::flat_hash_map<const OneofDescriptor*, std::string> chosen;
    for (const Entry& entry : node.entries) {
      const FieldDescriptor* field = type.FindFieldByName(entry.key);
      if (field == nullptr) {
        UnknownKey(entry, path, type);
        continue;
      }
      const std::string field_path = Join(path, entry.key);
      const bool scalar = entry.value.type == Node::Type::kScalar;
      problems_.Locate(field_path, scalar ? entry.value.at : entry.at);
      if (entry.value.type == Node::Type::kNull) {
        NoValue(*field, field_path);
        // Given, though badly: that it is missing would be a consequence.
        if (IsPlainMessage(*field)) message.GetReflection()->MutableMessage(&message, field);
        continue;
      }
      if (const OneofDescriptor* oneof = field->real_containing_oneof(); oneof != nullptr) {
        const auto [it, first] = chosen.try_emplace(oneof, entry.key);
        if (!first) {
          problems_.Add(field_path, absl::StrCat("not together with ", it->second, "; keep one"));
          continue;
        }
      }
      if (field->is_map()) {
        Map(entry.value, field_path, *field, message);
      } else if (field->is_repeated()) {
        List(entry.value, field_path, *field, message);
      } else {
        Value(entry.value, field_path, *field, message);
      }
    }
  }

 private:
  void UnknownKey(const Entry& entry, const std::string& path, const Descriptor& type) {
    std::vector<std::string> names;
    names.reserve(static_cast<size_t>(type.field_count()));
    for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
    const std::string near = Nearest(entry.key, names);
    std::string remedy = "remove it";
    if (!near.empty()) {
      remedy = absl::StrCat("did you mean ", near, "?");
    } else if (!names.empty()) {
      remedy = absl::StrCat("known here: ", absl::StrJoin(names, ", "));
    }
    problems_.AddAt(entry.at, path, absl::StrCat("unknown key ", Quoted(entry.key), "; ", remedy));
  }

  void NoValue(const FieldDescriptor& field, const std::string& path) {
    const bool nothing_in_it = IsPlainMessage(field) && field.message_type()->field_count() == 0;
    problems_.Add(path, nothing_in_it ? "has no value; write {}"
                                      : "has no value; give one or remove the key");
  }

  void List(const Node& node, const std::string& path, const FieldDescriptor& field,
            Message& message) {
    if (node.type != Node::Type::kList) {
      problems_.Add(path, absl::StrCat("wants a list, not ", Describe(node),
                                       "; write each item "
                                       "on a line with \"- \""));
      return;
    }
    for (size_t i = 0; i < node.items.size(); ++i) {
      const std::string item_path = Item(path, static_cast<int>(i));
      problems_.Locate(item_path, node.items[i].at);
      if (node.items[i].type == Node::Type::kNull) {
        problems_.Add(item_path, "is empty; give a value or remove the line");
      } else {
        Value(node.items[i], item_path, field, message);
      }
      Fill(static_cast<int>(i) + 1, field, message);
    }
  }

  // After a bad item an empty one, so that the others keep their numbers.
  void Fill(int size, const FieldDescriptor& field, Message& message) {
    const Reflection& set = *message.GetReflection();
    if (set.FieldSize(message, &field) >= size) return;
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      set.AddMessage(&message, &field);
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      set.AddString(&message, &field, "");
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32) {
      set.AddUInt32(&message, &field, 0);
    }
  }

  // Only map<string, string> is in the schema.
  void Map(const Node& node, const std::string& path, const FieldDescriptor& field,
           Message& message) {
    if (node.type != Node::Type::kMap) {
      problems_.Add(path, absl::StrCat("wants a mapping, not ", Describe(node)));
      return;
    }
    for (const Entry& entry : node.entries) {
      const std::string key_path = Join(path, entry.key);
      problems_.Locate(key_path, entry.at);
      double number = 0;
      if (!entry.quoted &&
          (LooksLikeBoolOrNull(entry.key) || absl::SimpleAtod(entry.key, &number))) {
        problems_.AddAt(entry.at, path,
                        absl::StrCat("the key ", Quoted(entry.key), " is no text; quote it"));
        continue;
      }
      if (entry.value.type == Node::Type::kNull) {
        problems_.Add(key_path, "has no value; give one or remove the key");
        continue;
      }
      const std::optional<std::string> value = Text(entry.value, key_path);
      if (!value.has_value()) continue;
      Message* pair = message.GetReflection()->AddMessage(&message, &field);
      const Descriptor& type = *pair->GetDescriptor();
      pair->GetReflection()->SetString(pair, type.FindFieldByNumber(1), entry.key);
      pair->GetReflection()->SetString(pair, type.FindFieldByNumber(2), *value);
    }
  }

  void Value(const Node& node, const std::string& path, const FieldDescriptor& field,
             Message& message) {
    const Reflection& set = *message.GetReflection();
    const bool add = field.is_repeated();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE: {
        if (IsDuration(field)) {
          Duration(node, path, field, message);
          return;
        }
        Message* sub =
            add ? set.AddMessage(&message, &field) : set.MutableMessage(&message, &field);
        if (node.type == Node::Type::kMap) {
          Fields(node, path, *sub);
        } else {
          problems_.Add(path, absl::StrCat("wants a mapping, not ", Describe(node)));
        }
        return;
      }
      case FieldDescriptor::CPPTYPE_STRING:
        if (const auto v = Text(node, path); v.has_value()) {
          add ? set.AddString(&message, &field, *v) : set.SetString(&message, &field, *v);
        }
        return;
      case FieldDescriptor::CPPTYPE_UINT32:
        if (const auto v = Number(node, path); v.has_value()) {
          add ? set.AddUInt32(&message, &field, *v) : set.SetUInt32(&message, &field, *v);
        }
        return;
      case FieldDescriptor::CPPTYPE_BOOL:
        if (const auto v = Bool(node, path); v.has_value()) set.SetBool(&message, &field, *v);
        return;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        if (const auto v = Double(node, path); v.has_value()) set.SetDouble(&message, &field, *v);
        return;
      case FieldDescriptor::CPPTYPE_ENUM:
        if (const auto* v = Enum(node, path, *field.enum_type()); v != nullptr) {
          set.SetEnum(&message, &field, v);
        }
        return;
      default:
        problems_.Add(path, "has a type this version cannot read; remove it");
    }
  }

  std::optional<std::string> Text(const Node& node, const std::string& path) {
    if (node.type != Node::Type::kScalar) {
      problems_.Add(path, absl::StrCat("wants text, not ", Describe(node)));
      return std::nullopt;
    }
    if (!node.quoted && LooksLikeBoolOrNull(node.text)) {
      problems_.Add(path, absl::StrCat("wants text; YAML reads ", node.text,
                                       " as something else, quote it: \"", node.text, "\""));
      return std::nullopt;
    }
    return node.text;
  }

  std::optional<uint32_t> Number(const Node& node, const std::string& path) {
    const bool digits = node.type == Node::Type::kScalar && !node.quoted && !node.text.empty() &&
                        node.text.find_first_not_of("0123456789") == std::string::npos &&
                        (node.text.size() == 1 || node.text[0] != '0');
    if (!digits) {
      problems_.Add(path, absl::StrCat("wants a whole number, not ", Describe(node),
                                       "; write decimal digits without quotes"));
      return std::nullopt;
    }
    uint32_t value = 0;
    if (!absl::SimpleAtoi(node.text, &value)) {
      problems_.Add(path, absl::StrCat(Quoted(node.text), " is too large"));
      return std::nullopt;
    }
    return value;
  }

  std::optional<double> Double(const Node& node, const std::string& path) {
    double value = 0;
    if (node.type != Node::Type::kScalar || node.quoted || node.text.empty() ||
        node.text.find_first_not_of("0123456789.") != std::string::npos ||
        !absl::SimpleAtod(node.text, &value) || !std::isfinite(value)) {
      problems_.Add(path,
                    absl::StrCat("wants a number, not ", Describe(node), "; write it like 1.5"));
      return std::nullopt;
    }
    return value;
  }

  std::optional<bool> Bool(const Node& node, const std::string& path) {
    const std::string lower = absl::AsciiStrToLower(node.text);
    if (node.type == Node::Type::kScalar && !node.quoted) {
      if (lower == "true") return true;
      if (lower == "false") return false;
    }
    problems_.Add(path, absl::StrCat("wants true or false, not ", Describe(node)));
    return std::nullopt;
  }

  void Duration(const Node& node, const std::string& path, const FieldDescriptor& field,
                Message& message) {
    const std::optional<absl::Duration> value =
        node.type == Node::Type::kScalar ? ParseDuration(node.text) : std::nullopt;
    if (!value.has_value()) {
      problems_.Add(path, absl::StrCat("wants a duration, not ", Describe(node),
                                       "; write it like 250ms, 30s, 15m, 1h30m or 7d"));
      return;
    }
    absl::Duration rest;
    auto& duration = static_cast<google::protobuf::Duration&>(
        *message.GetReflection()->MutableMessage(&message, &field));
    duration.set_seconds(absl::IDivDuration(*value, absl::Seconds(1), &rest));
    duration.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  }

  const google::protobuf::EnumValueDescriptor* Enum(const Node& node, const std::string& path,
                                                    const google::protobuf::EnumDescriptor& type) {
    // A cause or an action may be called "none": plain words are fine here.
    if (node.type == Node::Type::kScalar) {
      if (const auto* value = FindEnumValue(type, node.text); value != nullptr) return value;
    }
    problems_.Add(path, absl::StrCat(Describe(node), " is none of: ", EnumTexts(type)));
    return nullptr;
  }

  Problems& problems_;
};

}  // namespace

void ReadMessage(const Node& root, Problems& problems, Message& message) {
  Reader(problems).Fields(root, "", message);
}

}  // namespace credbroker::config
