#include "core/secret.h"

#include <string.h>  // explicit_bzero

#include <ostream>
#include <utility>

namespace credbroker::core {

void WipeBytes(void* data, size_t size) {
  if (size != 0) explicit_bzero(data, size);
}

void WipeString(std::string& text) {
  // Bytes beyond size() may hold what the string held before it shrank. Growing to the capacity
  // never reallocates, and makes them ours to write.
  text.resize(text.capacity());
  WipeBytes(text.data(), text.size());
  text.clear();
}

Secret::Secret(absl::string_view bytes) : size_(bytes.size()) {
  if (bytes.empty()) return;
  data_ = std::make_unique<char[]>(bytes.size());
  memcpy(data_.get(), bytes.data(), bytes.size());
}

Secret Secret::TakeFrom(std::string& source) {
  Secret taken(source);
  WipeString(source);
  return taken;
}

Secret Secret::OfSize(size_t size) {
  Secret made;
  if (size != 0) made.data_ = std::make_unique<char[]>(size);
  made.size_ = size;
  return made;
}

Secret::Secret(Secret&& other) noexcept
    : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this == &other) return *this;
  Wipe();
  data_ = std::move(other.data_);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

void Secret::Wipe() {
  WipeBytes(data_.get(), size_);
  data_.reset();
  size_ = 0;
}

bool Secret::Equal(const Secret& a, const Secret& b) {
  if (a.size_ != b.size_) return false;
  volatile unsigned char difference = 0;
  for (size_t i = 0; i < a.size_; ++i) {
    difference = static_cast<unsigned char>(difference | (a.data_[i] ^ b.data_[i]));
  }
  return difference == 0;
}

void Secret::Print(const Secret& secret, std::ostream* out) {
  *out << (secret.empty() ? "[empty secret]" : "[secret]");
}

}  // namespace credbroker::core
