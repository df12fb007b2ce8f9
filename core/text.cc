#include "core/text.h"

#include "core/check.h"

namespace credbroker::core {

void Text::Set(absl::string_view bytes) {
  if (bytes.size() <= kInside) {
    word_ = bytes.size() << 1 | 1;
    if (!bytes.empty())
      std::memcpy(reinterpret_cast<char*>(&word_) + 1, bytes.data(), bytes.size());
    return;
  }
  CB_CHECK(bytes.size() <= UINT32_MAX);
  char* block = new char[sizeof(uint32_t) + bytes.size()];
  const auto size = static_cast<uint32_t>(bytes.size());
  std::memcpy(block, &size, sizeof size);
  std::memcpy(block + sizeof size, bytes.data(), bytes.size());
  word_ = reinterpret_cast<uintptr_t>(block);
}

}  // namespace credbroker::core
