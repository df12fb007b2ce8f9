#include <sys/stat.h>

#include <cstddef>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/config/check.h"
#include "server/config/config.h"

namespace credbroker::config {
namespace {

constexpr int kMaxGroups = 1024;
constexpr int kMaxLabels = 8;
constexpr int kMaxLabelValues = 64;
constexpr size_t kMaxLabelValueBytes = 64;
constexpr size_t kMaxLabelKeyBytes = 32;
constexpr int kMaxSources = 64;

bool IsLabelKey(absl::string_view text) {
  if (text.empty() || text.size() > kMaxLabelKeyBytes) return false;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (!absl::ascii_islower(u) && !absl::ascii_isdigit(u) && c != '_' && c != '-') return false;
  }
  return true;
}

class FleetCheck {
 public:
  FleetCheck(const v1::Config& config, Problems& problems) : config_(config), problems_(problems) {}

  void Run() {
    Groups();
    Labels();
    Limits();
    Sessions();
    Sources();
  }

 private:
  void TooMany(const std::string& path, int size, int max) {
    if (size > max) problems_.Add(path, absl::StrCat("has ", size, " entries; at most ", max));
  }

  void Groups() {
    TooMany("groups", config_.groups_size(), kMaxGroups);
    for (int i = 0; i < config_.groups_size(); ++i) {
      const std::string& name = config_.groups(i).name();
      const std::string at = Join(Item("groups", i), "name");
      if (!IsName(name)) {
        problems_.Add(at, NameProblem(name));
      } else if (!groups_.insert(name).second) {
        problems_.Add(at, absl::StrCat(Quoted(name), " is given twice; keep one of them"));
      }
    }
    groups_.insert("default");
  }

  static std::string NameProblem(const std::string& name) {
    if (name.empty()) return "required; 1 to 64 characters of [a-z0-9._-]";
    return absl::StrCat(Quoted(name), " is no name; 1 to 64 characters of [a-z0-9._-]");
  }

  void Labels() {
    TooMany("labels", config_.labels_size(), kMaxLabels);
    for (int i = 0; i < config_.labels_size(); ++i) {
      const v1::LabelKey& label = config_.labels(i);
      const std::string path = Item("labels", i);
      if (!IsLabelKey(label.key())) {
        problems_.Add(Join(path, "key"), absl::StrCat(Quoted(label.key()),
                                                      " is no label key; 1 to "
                                                      "32 characters of [a-z0-9_-]"));
      } else if (!labels_.try_emplace(label.key(), &label).second) {
        problems_.Add(Join(path, "key"),
                      absl::StrCat(Quoted(label.key()), " is given twice; keep one of them"));
      }
      const std::string values = Join(path, "values");
      TooMany(values, label.values_size(), kMaxLabelValues);
      absl::flat_hash_set<std::string> seen;
      for (int n = 0; n < label.values_size(); ++n) {
        const std::string& value = label.values(n);
        if (value.empty() || value.size() > kMaxLabelValueBytes) {
          problems_.Add(Item(values, n), "has no or too many bytes; 1 to 64");
        } else if (!seen.insert(value).second) {
          problems_.Add(Item(values, n), absl::StrCat(Quoted(value), " is given twice; keep one"));
        }
      }
    }
  }

  void Limits() {
    const v1::Limits& limits = config_.limits();
    if (limits.max_parked_per_principal() > limits.max_parked()) {
      problems_.Add("limits.max_parked_per_principal",
                    absl::StrCat(limits.max_parked_per_principal(), " is more than max_parked, ",
                                 limits.max_parked(), "; lower it or raise max_parked"));
    }
    if (ToDuration(limits.default_ttl()) > ToDuration(limits.max_ttl())) {
      problems_.Add("limits.default_ttl", "is longer than max_ttl; lower it or raise max_ttl");
    }
  }

  void Sessions() {
    const v1::Sessions& sessions = config_.sessions();
    if (sessions.max_sessions_per_principal() > sessions.max_sessions()) {
      problems_.Add(
          "sessions.max_sessions_per_principal",
          absl::StrCat(sessions.max_sessions_per_principal(), " is more than max_sessions, ",
                       sessions.max_sessions(), "; lower it or raise max_sessions"));
    }
    const absl::Duration ping = ToDuration(sessions.ping_interval());
    if (3 * ping > ToDuration(sessions.ttl())) {
      problems_.Add("sessions.ping_interval",
                    "is longer than a third of ttl; lower it or raise ttl");
    }
    // A client learns of its loss at the latest one ping after ttl and then needs cancel_within:
    // its slots must not be given to others before.
    const absl::Duration needed = ping + ToDuration(sessions.cancel_within());
    if (ToDuration(sessions.grace()) <= needed) {
      problems_.Add(
          "sessions.grace",
          absl::StrCat("must be longer than ping_interval + cancel_within, ",
                       absl::FormatDuration(needed), "; raise it, or lower one of those"));
    }
  }

  void Sources() {
    TooMany("sources", config_.sources_size(), kMaxSources);
    absl::flat_hash_set<std::string> names;
    for (int i = 0; i < config_.sources_size(); ++i) {
      const v1::Source& source = config_.sources(i);
      const std::string path = Item("sources", i);
      if (!IsName(source.name())) {
        problems_.Add(Join(path, "name"), NameProblem(source.name()));
      } else if (!names.insert(source.name()).second) {
        problems_.Add(Join(path, "name"),
                      absl::StrCat(Quoted(source.name()), " is given twice; use another name"));
      }
      SourceFields(source, path);
      SourceLabels(source, Join(path, "labels"));
    }
  }

  void SourceFields(const v1::Source& source, const std::string& path) {
    struct stat info;
    if (source.path().empty()) {
      problems_.Add(Join(path, "path"), "required; a directory of credential files, or one file");
    } else if (stat(source.path().c_str(), &info) != 0) {
      problems_.Warn(Join(path, "path"),
                     absl::StrCat(Quoted(source.path()), " is not there (yet)"));
    }
    if (!groups_.contains(source.group())) {
      const std::string near = Nearest(source.group(), {groups_.begin(), groups_.end()});
      problems_.Add(Join(path, "group"),
                    absl::StrCat(Quoted(source.group()), " is no group; ",
                                 near.empty() ? "add it under groups"
                                              : absl::StrCat("did you mean ", near, "?")));
    }
    if (!source.provider().empty() && !IsProvider(config_, source.provider())) {
      problems_.Add(
          Join(path, "provider"),
          absl::StrCat(Quoted(source.provider()), " is no provider; add it under providers"));
    }
    if (source.key_per_line() && source.provider().empty()) {
      problems_.Add(Join(path, "key_per_line"), "needs provider; say whose keys they are");
    }
  }

  void SourceLabels(const v1::Source& source, const std::string& path) {
    for (const auto& [key, value] : source.labels()) {
      const auto label = labels_.find(key);
      if (label == labels_.end()) {
        problems_.Add(Join(path, key),
                      absl::StrCat(Quoted(key), " is no declared label; add it under labels"));
        continue;
      }
      const auto& values = label->second->values();
      bool allowed = values.empty();
      for (const std::string& candidate : values) allowed = allowed || candidate == value;
      if (value.empty() || value.size() > kMaxLabelValueBytes) {
        problems_.Add(Join(path, key), "has no or too many bytes; 1 to 64");
      } else if (!allowed) {
        problems_.Add(Join(path, key), absl::StrCat(Quoted(value), " is no value of the label ",
                                                    Quoted(key), "; add it under labels"));
      }
    }
  }

  const v1::Config& config_;
  Problems& problems_;
  absl::flat_hash_set<std::string> groups_;
  absl::flat_hash_map<std::string, const v1::LabelKey*> labels_;
};

}  // namespace

bool IsName(absl::string_view text) {
  if (text.empty() || text.size() > 64) return false;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (!absl::ascii_islower(u) && !absl::ascii_isdigit(u) && c != '.' && c != '_' && c != '-') {
      return false;
    }
  }
  return true;
}

bool IsHeaderName(absl::string_view text) {
  if (text.empty() || text.size() > 256) return false;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (!absl::ascii_islower(u) && !absl::ascii_isdigit(u) &&
        !absl::StrContains("!#$%&'*+-.^_`|~", c)) {
      return false;
    }
  }
  return true;
}

void CheckFleet(const v1::Config& config, Problems& problems) {
  FleetCheck(config, problems).Run();
}

}  // namespace credbroker::config
