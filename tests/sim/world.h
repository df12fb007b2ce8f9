// What a seed makes: settings, credentials, calls and upstream answers. Choices are hashes.
#ifndef CREDBROKER_TESTS_SIM_WORLD_H_
#define CREDBROKER_TESTS_SIM_WORLD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/policy.h"
#include "core/settings.h"
#include "tests/support/pool_fixture.h"

namespace credbroker::sim {

class World {
 public:
  explicit World(uint64_t seed);
  // A number below `n` for this purpose of this event.
  uint64_t Pick(uint64_t event, absl::string_view purpose, uint64_t n) const;
  bool Chance(uint64_t event, absl::string_view purpose, int percent) const {
    return Pick(event, purpose, 100) < static_cast<uint64_t>(percent);
  }
  template <typename T>
  const T& One(uint64_t event, absl::string_view purpose, const std::vector<T>& list) const {
    return list[Pick(event, purpose, list.size())];
  }

  bool large() const { return large_; }
  bool sessions() const { return sessions_; }
  int size() const { return size_; }
  core::Settings SettingsAt(uint64_t event) const;  // 0: at the start
  std::string IdAt(uint64_t number) const;
  std::shared_ptr<core::Document> NewDocument(uint64_t event, const std::string& id) const;
  // The document with one thing changed.
  std::shared_ptr<core::Document> Changed(uint64_t event, const core::Document& from) const;
  testing::Ask Call(uint64_t event) const;
  absl::Duration Step(uint64_t event) const;
  struct Answer {  // of an upstream
    int status = 0;
    core::Outcome stated = core::Outcome::kOther;
    std::vector<std::pair<std::string, std::string>> headers;
  };
  Answer Upstream(uint64_t event) const;

 private:
  std::string Group(uint64_t event) const;
  uint64_t seed_;
  bool large_ = false, rules_ = false, labels_ = false, egress_ = false, tight_ = false,
       sessions_ = false;
  int size_ = 3, groups_ = 1, providers_ = 1;
};

}  // namespace credbroker::sim

#endif  // CREDBROKER_TESTS_SIM_WORLD_H_
