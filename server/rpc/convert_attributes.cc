#include "server/rpc/convert_attributes.h"

#include <cstddef>
#include <string>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "nlohmann/json.hpp"

namespace credbroker::rpc {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

// Fills a Struct as the parser goes, without a tree in between. Returning false ends the parse.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(Struct* root) : root_(root) {}

  bool null() override {
    return Set([](Value& value) { value.set_null_value(google::protobuf::NULL_VALUE); });
  }
  bool boolean(bool given) override {
    return Set([&](Value& value) { value.set_bool_value(given); });
  }
  bool number_integer(number_integer_t given) override {
    return Number(static_cast<double>(given));
  }
  bool number_unsigned(number_unsigned_t given) override {
    return Number(static_cast<double>(given));
  }
  bool number_float(number_float_t given, const string_t&) override { return Number(given); }
  bool string(string_t& given) override {
    return Set([&](Value& value) { value.set_string_value(std::move(given)); });
  }
  bool binary(binary_t&) override { return false; }

  bool start_object(size_t) override {
    if (open_.empty()) return Open({root_, nullptr, ""});
    return Set([&](Value& value) {
             next_ = {value.mutable_struct_value(), nullptr, ""};
           }) &&
           Open(std::move(next_));
  }
  bool key(string_t& name) override {
    open_.back().key = std::move(name);
    return true;
  }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override {
    return Set([&](Value& value) {
             next_ = {nullptr, value.mutable_list_value(), ""};
           }) &&
           Open(std::move(next_));
  }
  bool end_array() override { return Close(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  static constexpr size_t kMaxDepth = 64;
  struct Container {  // an object with the key whose value comes next, or a list
    Struct* object = nullptr;
    google::protobuf::ListValue* list = nullptr;
    std::string key;
  };

  template <typename Setter>
  bool Set(Setter set) {
    if (open_.empty()) return false;  // not an object
    Container& in = open_.back();
    set(in.object != nullptr ? (*in.object->mutable_fields())[in.key] : *in.list->add_values());
    return true;
  }
  bool Number(double given) {
    return Set([&](Value& value) { value.set_number_value(given); });
  }
  bool Open(Container container) {
    if (open_.size() >= kMaxDepth) return false;
    open_.push_back(std::move(container));
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  Struct* const root_;
  absl::InlinedVector<Container, 4> open_;
  Container next_;
};

}  // namespace

bool ParseAttributes(absl::string_view json, Struct* out) {
  out->Clear();
  Builder builder(out);
  if (nlohmann::json::sax_parse(json.begin(), json.end(), &builder)) return true;
  out->Clear();
  return false;
}

}  // namespace credbroker::rpc
