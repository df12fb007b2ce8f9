// Fields a batch can change, as (path, JSON text): applying an operation, telling what differs,
// putting one back. Pure functions; thread-safe.
#ifndef CREDBROKER_SERVER_ENGINE_FIELDS_H_
#define CREDBROKER_SERVER_ENGINE_FIELDS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/credential.h"
#include "server/engine/admin_types.h"
#include "server/store/record.h"

namespace credbroker::engine {

// What an operation changes of one credential.
struct Editable {
  core::Document document;
  core::Intent intent;
};

// Not for kReset and kDelete, which are no fields. INVALID_ARGUMENT names the field.
absl::Status ApplyOperation(const BatchOperation& operation, absl::string_view actor,
                            absl::Time now, Editable& target);

// Paths: priority, weight, prefix, proxy_url, max_in_flight, max_in_flight_per_model, group,
// labels.<key>, intent.disabled, intent.reason, intent.until. In this order.
std::vector<store::FieldEdit> Differences(const Editable& before, const Editable& after);

// Puts back what `edits` changed where the value is still theirs; the intent as one. Returns the
// paths that are not any more.
std::vector<std::string> PutBack(const std::vector<store::FieldEdit>& edits,
                                 absl::string_view actor, absl::Time now, Editable& target);

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_FIELDS_H_
