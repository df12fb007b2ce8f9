#include "core/check.h"

#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace credbroker::core {
namespace {

// Straight to the descriptor: nothing here may allocate, lock or depend on a stream's state.
void Say(const char* text) {
  size_t left = std::strlen(text);
  while (left > 0) {
    const ssize_t written = ::write(STDERR_FILENO, text, left);
    if (written <= 0) return;
    text += written;
    left -= static_cast<size_t>(written);
  }
}

}  // namespace

void CheckFailed(const char* condition, const char* file, int line) {
  char digits[12];
  char* at = digits + sizeof(digits) - 1;
  *at = '\0';
  do {
    *--at = static_cast<char>('0' + line % 10);
    line /= 10;
  } while (line > 0 && at > digits);
  Say(file);
  Say(":");
  Say(at);
  Say(": check failed: ");
  Say(condition);
  Say("\n");
  std::abort();
}

}  // namespace credbroker::core
