// Bytes that must not leak: wiped when they die, never printed, compared in constant time.
//
// Thread-safety: as a built-in type: concurrent reads are fine, a write needs exclusion.
// The memory is not locked against swap; the process turns core dumps off.
#ifndef CREDBROKER_CORE_SECRET_H_
#define CREDBROKER_CORE_SECRET_H_

#include <cstddef>
#include <iosfwd>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace credbroker::core {

// Overwrites `size` bytes in a way the optimiser may not drop.
void WipeBytes(void* data, size_t size);

// Wipes the whole capacity of `text` and leaves it empty.
void WipeString(std::string& text);

class Secret {
 public:
  Secret() = default;
  // Copies; the source stays the caller's to wipe.
  explicit Secret(absl::string_view bytes);
  // Copies, then wipes the source.
  static Secret TakeFrom(std::string& source);
  // `size` zero bytes, to be filled through mutable_data().
  static Secret OfSize(size_t size);

  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  // A copy is another place to leak from, so it has a name: Clone().
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { Wipe(); }

  Secret Clone() const { return Secret(reveal()); }

  // The bytes; valid until this object changes or dies. The name is what reviews grep for.
  absl::string_view reveal() const { return absl::string_view(data_.get(), size_); }
  char* mutable_data() { return data_.get(); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Wipes and becomes empty.
  void Wipe();

  // Takes time that depends on the lengths only.
  friend bool operator==(const Secret& a, const Secret& b) { return Equal(a, b); }
  friend bool operator!=(const Secret& a, const Secret& b) { return !Equal(a, b); }

  // Formatting never shows the bytes, wherever it is tried.
  template <typename Sink>
  friend void AbslStringify(Sink& sink, const Secret&) {
    sink.Append("[secret]");
  }
  friend std::ostream& operator<<(std::ostream&, const Secret&) = delete;
  friend void PrintTo(const Secret& secret, std::ostream* out) { Print(secret, out); }

 private:
  static bool Equal(const Secret& a, const Secret& b);
  static void Print(const Secret& secret, std::ostream* out);

  std::unique_ptr<char[]> data_;
  size_t size_ = 0;
};

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_SECRET_H_
