// Bytes that must not leak: wiped when they die, never printed.
//
// Thread-safety: as a built-in type. What gRPC itself buffered of a message is beyond this type.
#ifndef CREDBROKER_CLIENT_SECRET_H_
#define CREDBROKER_CLIENT_SECRET_H_

#include <cstddef>
#include <iosfwd>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace credbroker::client {

class Secret {
 public:
  Secret() = default;
  // Copies; the source stays the caller's to wipe.
  explicit Secret(absl::string_view bytes);
  // Copies, then wipes the source and leaves it empty.
  static Secret TakeFrom(std::string& source);

  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { Wipe(); }

  // The bytes; valid until this object changes or dies.
  absl::string_view reveal() const { return absl::string_view(data_.get(), size_); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Overwrites the bytes and becomes empty.
  void Wipe();

  friend std::ostream& operator<<(std::ostream&, const Secret&) = delete;
  // For test failures: never the bytes.
  friend void PrintTo(const Secret&, std::ostream* out) { Print(out); }

 private:
  static void Print(std::ostream* out);

  std::unique_ptr<char[]> data_;
  size_t size_ = 0;
};

// Overwrites the bytes of `text` and leaves it empty.
void WipeString(std::string& text);

}  // namespace credbroker::client

#endif  // CREDBROKER_CLIENT_SECRET_H_
