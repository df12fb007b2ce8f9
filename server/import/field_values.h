// How single values of credential files are read: the lenient forms AUTH_FILES allows, and no
// other. Every function returns an empty optional for a value it does not accept.
//
// Pure functions; thread-safe.
#ifndef CREDBROKER_SERVER_IMPORT_FIELD_VALUES_H_
#define CREDBROKER_SERVER_IMPORT_FIELD_VALUES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/import/strict_json.h"

namespace credbroker::import {

// true, false, and the strings "true", "false", "1", "0" in any case.
std::optional<bool> ReadBool(const Json& value);

// Integers, numbers with a zero fraction, and integer strings. With `truncate` also other numbers,
// cut toward zero. Outside of int64: saturates, so that the caller's range refuses it.
std::optional<int64_t> ReadInteger(const Json& value, bool truncate);

// RFC 3339 with or without fraction, "YYYY-MM-DD hh:mm[:ss]" (UTC), unix seconds, or milliseconds
// above 1e12, as number or string. Years 1970 to 9999.
std::optional<absl::Time> ReadTime(const Json& value);

// null, "", 0 and Go's zero time: the writer had no time to tell.
bool IsNoTime(const Json& value);

// "" for direct and none, the URL for http, https, socks5 and socks5h with a host and a legal port.
std::optional<std::string> ReadProxyUrl(absl::string_view text);

// http or https with a host, without blanks, quotes and control characters.
bool IsHttpUrl(absl::string_view text);

// "user:password@" is in it.
bool HasUserInfo(absl::string_view url);

// RFC 9110 token.
bool IsHeaderName(absl::string_view name);
// No control characters but tabs.
bool IsHeaderValue(absl::string_view value);
// A header whose value authenticates: authorization, cookie, *-key, *-token, *-secret.
bool IsSecretHeader(absl::string_view name);

// A key whose value is a secret by its name: *token, *secret, *password, *_key, cookie ...
bool IsSecretName(absl::string_view key);

bool HasControlCharacters(absl::string_view text);

// 1 to 64 characters of [a-z0-9._-].
bool IsPlainName(absl::string_view name);

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_FIELD_VALUES_H_
