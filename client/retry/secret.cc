#include "credbroker/client/secret.h"

#include <cstring>
#include <ostream>
#include <utility>

namespace credbroker::client {

Secret::Secret(absl::string_view bytes) : data_(new char[bytes.size()]), size_(bytes.size()) {
  if (size_ > 0) std::memcpy(data_.get(), bytes.data(), size_);
}

Secret Secret::TakeFrom(std::string& source) {
  Secret secret{absl::string_view(source)};
  WipeString(source);
  return secret;
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
  if (size_ > 0) ::explicit_bzero(data_.get(), size_);
  data_ = nullptr;
  size_ = 0;
}

void Secret::Print(std::ostream* out) { *out << "[secret]"; }

void WipeString(std::string& text) {
  if (!text.empty()) ::explicit_bzero(text.data(), text.size());
  text.clear();
}

}  // namespace credbroker::client
