// Which bytes may become an HTTP field (RFC 9110, section 5). What comes from a credential is put
// into answers that a proxy copies on, so a name or value two parsers could read differently is
// never emitted.
//
// Thread-safety: pure functions.
#ifndef CREDBROKER_CLIENT_SIDECAR_HTTP_FIELD_H_
#define CREDBROKER_CLIENT_SIDECAR_HTTP_FIELD_H_

#include "absl/strings/string_view.h"

namespace credbroker::sidecar {

// 1 to 256 bytes of a token.
bool IsFieldName(absl::string_view name);
// At most 8,000 bytes; no control character, no blank at either end.
bool IsFieldValue(absl::string_view value);
// A name that frames the message or belongs to the connection or to this program ("connection",
// "content-length", "transfer-encoding", "x-credbroker-..."): a credential may not set it.
bool IsReservedName(absl::string_view name);

// Whether all of `text` is printable: no control character, valid UTF-8, no more than `max_bytes`.
bool IsCleanText(absl::string_view text, size_t max_bytes);

// Valid UTF-8 (RFC 3629) without control characters.
bool IsCleanUtf8(absl::string_view text);

}  // namespace credbroker::sidecar

#endif  // CREDBROKER_CLIENT_SIDECAR_HTTP_FIELD_H_
