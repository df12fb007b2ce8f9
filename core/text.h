// An immutable string in 8 bytes, for values that are empty or short more often than not and of
// which there are a dozen for each credential: up to 7 bytes lie in it, longer ones in one block of
// memory. Thread-safety: as a built-in type.
#ifndef CREDBROKER_CORE_TEXT_H_
#define CREDBROKER_CORE_TEXT_H_

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <ostream>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace credbroker::core {

class Text {
 public:
  Text() = default;
  Text(absl::string_view bytes) { Set(bytes); }                       // NOLINT: a string by nature
  Text(const std::string& bytes) : Text(absl::string_view(bytes)) {}  // NOLINT
  Text(const char* bytes) : Text(absl::string_view(bytes)) {}         // NOLINT
  Text(const Text& other) { Set(other.view()); }
  Text(Text&& other) noexcept : word_(std::exchange(other.word_, kEmpty)) {}
  Text& operator=(Text other) noexcept {
    std::swap(word_, other.word_);
    return *this;
  }
  ~Text() { Free(); }

  // Valid until this object changes or dies, or is moved.
  absl::string_view view() const {
    if ((word_ & 1) != 0) {
      return {reinterpret_cast<const char*>(&word_) + 1, (word_ & 0xff) >> 1};
    }
    return {Block() + sizeof(uint32_t), BlockSize()};
  }
  operator absl::string_view() const { return view(); }         // NOLINT
  operator std::string() const { return std::string(view()); }  // NOLINT
  std::string str() const { return std::string(view()); }
  size_t size() const { return (word_ & 1) != 0 ? (word_ & 0xff) >> 1 : BlockSize(); }
  bool empty() const { return word_ == kEmpty; }
  void clear() { *this = Text(); }

  friend bool operator==(const Text& a, const Text& b) { return a.view() == b.view(); }
  template <typename Other>
  requires(!std::same_as<Other, Text> &&
           std::convertible_to<const Other&, absl::string_view>) friend bool
  operator==(const Text& a, const Other& b) {
    return a.view() == absl::string_view(b);
  }
  friend bool operator<(const Text& a, const Text& b) { return a.view() < b.view(); }
  friend std::ostream& operator<<(std::ostream& out, const Text& text) {
    return out << text.view();
  }
  template <typename H>
  friend H AbslHashValue(H h, const Text& text) {
    return H::combine(std::move(h), text.view());
  }

 private:
  static_assert(std::endian::native == std::endian::little, "the tag lies in the first byte");
  static constexpr uint64_t kEmpty = 1;
  static constexpr size_t kInside = 7;

  char* Block() const { return std::bit_cast<char*>(word_); }
  size_t BlockSize() const {
    uint32_t size;
    std::memcpy(&size, Block(), sizeof size);
    return size;
  }
  void Set(absl::string_view bytes);
  void Free() {
    if ((word_ & 1) == 0) delete[] Block();
  }

  // Odd: twice the size, and one, in the lowest byte, then the bytes. Even: the block's address.
  uint64_t word_ = kEmpty;
};
static_assert(sizeof(Text) == 8);

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_TEXT_H_
