// Renders the headers of a provider's credentials again after its templates changed.
// Thread-safety: as Work.
#ifndef CREDBROKER_SERVER_ENGINE_RERENDER_H_
#define CREDBROKER_SERVER_ENGINE_RERENDER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/settings.h"
#include "server/engine/work.h"

namespace credbroker::engine {

// Writes nothing. Until it ran, and where it fails, credentials keep their headers of before.
std::unique_ptr<Work> NewRerender(std::vector<std::string> providers,
                                  std::function<void(const absl::Status&)> done);

// Providers whose rendering differs between two settings.
std::vector<std::string> RenderedDifferently(const core::Settings& before,
                                             const core::Settings& after);

}  // namespace credbroker::engine

#endif  // CREDBROKER_SERVER_ENGINE_RERENDER_H_
