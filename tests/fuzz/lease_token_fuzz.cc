// Lease ids come from outside: no text may crash the decoder, and none but our own may pass.
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/check.h"
#include "server/engine/lease_token.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const credbroker::engine::LeaseCodec* const codec =
      new credbroker::engine::LeaseCodec(credbroker::core::Secret(std::string(32, 'f')));
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto claims = codec->Decode(text)) CB_CHECK(codec->Encode(*claims) == text);
  return 0;
}
