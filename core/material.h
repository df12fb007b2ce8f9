// What a grant hands to a proxy: rendered once when a secret or document is installed, then shared
// by every lease. Immutable, hence thread-safe.
#ifndef CREDBROKER_CORE_MATERIAL_H_
#define CREDBROKER_CORE_MATERIAL_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/credential.h"
#include "core/settings.h"

namespace credbroker::core {

// Names and values of headers, in one block of memory that is wiped when it dies: most credentials
// have a long value and some short ones.
class RenderedHeaders {
 public:
  // Borrowed from the list.
  class Value {
   public:
    explicit Value(absl::string_view bytes) : bytes_(bytes) {}
    absl::string_view reveal() const { return bytes_; }
    size_t size() const { return bytes_.size(); }
    friend std::ostream& operator<<(std::ostream&, const Value&) = delete;

   private:
    absl::string_view bytes_;
  };
  struct Header {
    absl::string_view first;  // its name
    Value second;
  };
  class Iterator {
   public:
    explicit Iterator(const char* at) : at_(at) {}
    Header operator*() const;
    Iterator& operator++();
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    const char* at_;
  };

  RenderedHeaders() = default;
  explicit RenderedHeaders(const std::vector<std::pair<std::string, Secret>>& headers);
  Iterator begin() const { return Iterator(block_.reveal().data()); }
  Iterator end() const { return Iterator(block_.reveal().data() + block_.size()); }
  bool empty() const { return block_.empty(); }
  Header front() const { return *begin(); }  // REQUIRES: not empty

 private:
  Secret block_;
};

// The secret part of a grant. Only rendered headers stay in memory: refresh tokens and the rest are
// read from the store when they are needed. Proxy, base URL and attributes are the Document's.
struct Material {
  Uid uid;
  uint64_t version = 0;
  bool refreshable = false;  // an OAuth login with a refresh token this broker may use
  std::optional<absl::Time> expire_time;
  RenderedHeaders headers;
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
