#include "server/import/strict_json.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/secret.h"

namespace credbroker::import {
namespace {

// Builds the value; stops at the first thing that is refused.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(Json& root, int max_depth) : root_(root), max_depth_(max_depth) {}

  bool null() override { return Add(Json()); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(number_integer_t value) override { return Add(value); }
  bool number_unsigned(number_unsigned_t value) override { return Add(value); }
  bool number_float(number_float_t value, const string_t&) override { return Add(value); }
  bool string(string_t& value) override { return Add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    auto [at, fresh] = open_.back()->emplace(name, nullptr);
    if (!fresh) {
      // The name is the file's own text, and no secret: secrets are values.
      error_ = absl::StrCat("the key \"", name.substr(0, 64), "\" is there twice; remove one");
      return false;
    }
    next_ = &*at;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception& why) override {
    position_ = position;
    // Texts of the library quote what it read, which may be a secret: only the kind is told.
    const bool overflow = why.id == 406;
    error_ = overflow ? absl::StrCat("a number is too large at byte ", position)
                      : absl::StrCat("not valid JSON (UTF-8) at byte ", position);
    return false;
  }

  const std::string& error() const { return error_; }
  size_t position() const { return position_; }

 private:
  Json* Place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    *next_ = std::move(value);
    return next_;
  }
  bool Add(Json value) {
    Place(std::move(value));
    return true;
  }
  bool Open(Json value) {
    if (open_.size() >= static_cast<size_t>(max_depth_)) {
      error_ = absl::StrCat("nested deeper than ", max_depth_, " levels");
      return false;
    }
    open_.push_back(Place(std::move(value)));
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  Json& root_;
  const int max_depth_;
  // Parents of what comes next. An array grows only while it is the innermost one, so the pointers
  // to its elements stay good.
  std::vector<Json*> open_;
  Json* next_ = nullptr;
  std::string error_;
  size_t position_ = 0;
};

}  // namespace

JsonResult ParseStrictJson(absl::string_view text, int max_depth) {
  JsonResult result;
  if (text.find_first_not_of(absl::string_view(" \t\r\n\0\xEF\xBB\xBF", 8)) ==
      absl::string_view::npos) {
    result.error = "the file is empty";
    result.cut_off = true;
    return result;
  }
  Builder builder(result.value, max_depth);
  const bool good = Json::sax_parse(text.begin(), text.end(), &builder);
  if (good) return result;
  result.error = builder.error().empty() ? "not valid JSON" : builder.error();
  // A file that is being written ends early, or in zeros where its blocks are not there yet.
  result.cut_off = builder.position() > text.size() || text.back() == '\0';
  WipeJson(result.value);
  return result;
}

void WipeJson(Json& value) {
  if (value.is_string()) {
    core::WipeString(value.get_ref<std::string&>());
  } else if (value.is_structured()) {
    for (Json& item : value) WipeJson(item);
  }
  value = nullptr;
}

std::string DumpJson(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace credbroker::import
