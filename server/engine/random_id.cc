#include "server/engine/random_id.h"

#include <openssl/rand.h>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "core/check.h"

namespace credbroker::engine {

std::string RandomId() {
  unsigned char bytes[16];
  CB_CHECK(RAND_bytes(bytes, sizeof(bytes)) == 1);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes), sizeof(bytes)));
}

}  // namespace credbroker::engine
