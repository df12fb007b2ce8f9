// Digests of files and keyed hashes of tokens. Pure functions; thread-safe.
#ifndef CREDBROKER_SERVER_IMPORT_TOKEN_HASH_H_
#define CREDBROKER_SERVER_IMPORT_TOKEN_HASH_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace credbroker::import {

std::string Sha256(absl::string_view bytes);     // 32 bytes
std::string Sha256Hex(absl::string_view bytes);  // 64 lower-case digits

// The first 64 bits of HMAC-SHA-256(key, bytes), big-endian.
uint64_t KeyedHash(absl::string_view key, absl::string_view bytes);

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_TOKEN_HASH_H_
