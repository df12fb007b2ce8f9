// What a grant hands to a proxy: rendered once when a secret or document is installed, then shared
// by every lease. Immutable, hence thread-safe.
#ifndef CREDBROKER_CORE_MATERIAL_H_
#define CREDBROKER_CORE_MATERIAL_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/credential.h"
#include "core/settings.h"

namespace credbroker::core {

// The secret part of a grant. Only rendered headers stay in memory: refresh tokens and the rest are
// read from the store when they are needed. Proxy, base URL and attributes are the Document's.
struct Material {
  Uid uid;
  uint64_t version = 0;
  bool refreshable = false;  // an OAuth login with a refresh token this broker may use
  std::optional<absl::Time> expire_time;
  std::vector<std::pair<std::string, Secret>> headers;
};

// Fills the provider's templates, then adds the document's own headers, which replace those of the
// same name. A placeholder is {access_token}, {id_token}, {api_key}, {cookie}, {client_secret},
// {extra.NAME} or the name of a top-level string attribute; "{{" is a brace. A header whose
// template names an absent field is left out; with no header left, `headers` is empty and the
// credential still serves (proxies may need base_url only). INVALID_ARGUMENT, naming header and
// field but never a value: CR, LF or NUL in a value (header injection), a name that is no RFC 9110
// token, an open brace, or a template that would hand out what never leaves the broker
// (refresh_token, service_account).
absl::StatusOr<std::shared_ptr<const Material>> RenderMaterial(const Document& document, Uid uid,
                                                               const SecretMaterial& secret,
                                                               const ProviderSettings& provider);

}  // namespace credbroker::core

#endif  // CREDBROKER_CORE_MATERIAL_H_
