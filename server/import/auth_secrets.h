// The secrets of a credential object, and what they say about it: kind and attributes. Part of the
// parser (auth_file.h). Pure functions; thread-safe.
#ifndef CREDBROKER_SERVER_IMPORT_AUTH_SECRETS_H_
#define CREDBROKER_SERVER_IMPORT_AUTH_SECRETS_H_

#include "server/import/auth_file.h"
#include "server/import/object_reader.h"
#include "server/import/strict_json.h"

namespace credbroker::import {

// Moves every secret of `object` into `out`: those of the table in AUTH_FILES under their names,
// and strings whose key says that they are one into SecretMaterial::extra ("tokens.session_token"),
// so that no unknown key carries a secret out on export.
void ReadSecrets(Json& object, ObjectReader& reader, ParsedCredential& out);

// Kind of a credential of `provider` that brings no secret.
core::Kind UsualKind(absl::string_view provider);

}  // namespace credbroker::import

#endif  // CREDBROKER_SERVER_IMPORT_AUTH_SECRETS_H_
