#include "tests/sim/world.h"

#include "absl/strings/str_cat.h"

namespace credbroker::sim {

using testing::Ask;

namespace {

uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

const std::vector<std::string>& ProviderNames() {
  static const auto* const names = new std::vector<std::string>{"claude", "codex", "gemini"};
  return *names;
}

std::string GroupName(uint64_t number) {
  return number == 0 ? "default" : absl::StrCat("g", number);
}

}  // namespace

World::World(uint64_t seed) : seed_(seed) {
  large_ = Chance(0, "large", 12);
  rules_ = Chance(0, "rules", 40);
  labels_ = Chance(0, "labels", 40);
  egress_ = Chance(0, "egress", 40);
  tight_ = Chance(0, "tight", 60);
  sessions_ = Chance(0, "sessions", 50);
  size_ = large_ ? 200 : static_cast<int>(2 + Pick(0, "size", 4));
  groups_ = large_ ? 5 : static_cast<int>(1 + Pick(0, "groups", 2));
  providers_ = static_cast<int>(1 + Pick(0, "providers", 3));
}

uint64_t World::Pick(uint64_t event, absl::string_view purpose, uint64_t n) const {
  uint64_t z = Mix(seed_ + 0x9e3779b97f4a7c15u) ^ Mix(event * 0x9e3779b97f4a7c15u + 1);
  for (char c : purpose) z = Mix(z + static_cast<unsigned char>(c) + 0x9e3779b97f4a7c15u);
  return Mix(z) % n;
}

std::string World::IdAt(uint64_t number) const { return absl::StrCat("c", 1000 + number); }

std::string World::Group(uint64_t event) const {
  return GroupName(Pick(event, "group", static_cast<uint64_t>(groups_)));
}

core::Settings World::SettingsAt(uint64_t event) const {
  core::Settings settings;
  for (int i = 0; i < groups_; ++i) {
    core::GroupSettings group;
    group.name = GroupName(static_cast<uint64_t>(i));
    const std::string p = absl::StrCat("g", i);
    // Seldom another strategy after a reload, so that cursors get old.
    const uint64_t at = event != 0 && Chance(event, p + "strategy", 20) ? event : 0;
    const uint64_t strategy = Pick(at, p + "kind", 8);
    group.strategy =
        strategy < 4 ? core::Strategy::kRoundRobin : static_cast<core::Strategy>(strategy - 3);
    group.failback = Chance(event, p + "failback", 30);
    group.session_spill = !Chance(event, p + "stay", 40);
    if (Chance(event, p + "idle", 30)) group.session_idle_ttl = absl::Minutes(2);
    if (tight_ && Chance(event, p + "cap", 30)) {
      group.max_in_flight = static_cast<int32_t>(Pick(event, p + "cap#", 4));
    }
    if (Chance(event, p + "mcap", 15)) {
      group.max_in_flight_per_model = static_cast<int32_t>(1 + Pick(event, p + "mcap#", 2));
    }
    settings.groups.push_back(group);
  }
  for (int i = 0; i < providers_; ++i) {
    core::ProviderSettings provider;
    provider.name = ProviderNames()[static_cast<size_t>(i)];
    if (tight_ && Chance(event, provider.name, 30)) {
      provider.max_in_flight = static_cast<int32_t>(1 + Pick(event, provider.name + "#", 3));
    }
    settings.providers.push_back(provider);
  }
  settings.limits.max_parked = 5;
  settings.limits.max_parked_per_principal = 3;
  if (Chance(event, "leases", 15)) {
    settings.limits.max_leases_per_principal = 1 + Pick(event, "leases#", 6);
  }
  if (Chance(event, "ended", 20)) settings.limits.max_ended_leases = 8;
  return settings;
}

std::shared_ptr<core::Document> World::NewDocument(uint64_t event, const std::string& id) const {
  auto d = testing::PoolFixture::Doc(id);
  d->group = Group(event);
  d->provider = ProviderNames()[Pick(event, "provider", static_cast<uint64_t>(providers_))];
  d->kind = Chance(event, "oauth", 40) ? core::Kind::kOAuth : core::Kind::kApiKey;
  d->priority = Chance(event, "tier", 25) ? static_cast<int64_t>(Pick(event, "tier#", 3)) - 1 : 0;
  if (Chance(event, "weight", 25)) d->weight = static_cast<int64_t>(Pick(event, "weight#", 5));
  if (tight_ && Chance(event, "cap", 60)) {
    d->max_in_flight = static_cast<int32_t>(Pick(event, "cap#", 4));
  }
  if (Chance(event, "mcap", 15)) {
    d->max_in_flight_per_model = static_cast<int32_t>(1 + Pick(event, "mcap#", 2));
  }
  if (rules_ && Chance(event, "rules", 60)) {
    switch (Pick(event, "rules#", 4)) {
      case 0:
        d->prefix = "team";
        break;
      case 1:
        d->models = {"m1", "m2"};
        break;
      case 2:
        d->excluded_models = {"m2*"};
        break;
      case 3:
        d->model_aliases = {{"fast", "m3"}};
        break;
    }
  }
  if (labels_ && Chance(event, "label", 60)) {
    d->labels = {{"region", Chance(event, "label#", 50) ? "eu" : "us"}};
  }
  if (egress_ && Chance(event, "proxy", 70)) {
    const uint64_t proxy = Pick(event, "proxy#", 5);
    d->proxy_url = proxy == 4 ? "direct" : absl::StrCat("http://proxy", proxy % 2);
  }
  d->disable_cooling = Chance(event, "no cooling", 8);
  return d;
}

std::shared_ptr<core::Document> World::Changed(uint64_t event, const core::Document& from) const {
  auto d = std::make_shared<core::Document>(from);
  const auto fresh = NewDocument(event, from.id);
  switch (Pick(event, "change", 10)) {
    case 0:
    case 1:
      d->max_in_flight = static_cast<int32_t>(Pick(event, "cap to", 3));
      break;
    case 2:
      d->max_in_flight.reset();
      break;
    case 3:
      d->priority = fresh->priority;
      break;
    case 4:
      d->weight = fresh->weight;
      break;
    case 5:
      d->group = fresh->group;
      break;
    case 6:
      d->labels = fresh->labels;
      break;
    case 7:
      d->proxy_url = fresh->proxy_url;
      break;
    case 8:
      d->max_in_flight_per_model = fresh->max_in_flight_per_model;
      break;
    default:
      d->prefix = fresh->prefix;
      d->models = fresh->models;
      d->excluded_models = fresh->excluded_models;
      d->model_aliases = fresh->model_aliases;
  }
  return d;
}

Ask World::Call(uint64_t event) const {
  Ask ask;
  ask.principal = absl::StrCat("p", 1 + Pick(event, "principal", 3));
  ask.group = Group(event);
  if (ask.group == "default" && Chance(event, "no group", 50)) ask.group = "";
  ask.providers.clear();
  for (int i = 0; i < providers_; ++i) {
    if (Chance(event, absl::StrCat("provider", i), 60)) {
      ask.providers.push_back(ProviderNames()[static_cast<size_t>(i)]);
    }
  }
  if (ask.providers.empty()) ask.providers = {"claude"};
  static const auto* const models =
      new std::vector<std::string>{"m1", "m1", "m1", "m2", "m2", "m3", "m1(high)", " m2 ", ""};
  static const auto* const named = new std::vector<std::string>{
      "m1", "m2", "m3", "fast", "fast", "team/m1", "team/m2", "m2-x", "fast(low)", ""};
  ask.model = One(event, "model", rules_ ? *named : *models);
  if (Chance(event, "session", 25)) ask.session = absl::StrCat("s", Pick(event, "session#", 5));
  if (Chance(event, "pin", 10)) ask.pin = IdAt(Pick(event, "pin#", static_cast<uint64_t>(size_)));
  if (Chance(event, "exclude", 10)) {
    for (uint64_t i = 0; i < 2; ++i) {
      ask.excluded.push_back(IdAt((Pick(event, "exclude#", static_cast<uint64_t>(size_)) + i)));
    }
  }
  if (labels_ && Chance(event, "labels", 20)) {
    ask.labels = {{"region", Chance(event, "labels#", 80) ? "eu" : "moon"}};
  }
  if (Chance(event, "kind", 8)) {
    ask.kind = Chance(event, "kind#", 50) ? core::Kind::kOAuth : core::Kind::kApiKey;
  }
  if (Chance(event, "request", 20)) ask.request_id = absl::StrCat("r", Pick(event, "request#", 12));
  static const auto* const ttls = new std::vector<int>{0, 0, 0, 5, 30, 300, 1800, 7200};
  ask.ttl = absl::Seconds(One(event, "ttl", *ttls));
  if (Chance(event, "wait", 35)) {
    static const auto* const waits = new std::vector<int>{1, 5, 20, 60, 300};
    ask.max_wait = absl::Seconds(One(event, "wait#", *waits));
  }
  ask.allow_probe = !Chance(event, "prefetch", 8);
  if (Chance(event, "odd", 3)) {
    switch (Pick(event, "odd#", 4)) {
      case 0:
        ask.group = "nowhere";
        break;
      case 1:
        ask.providers = {"nobody"};
        break;
      case 2:
        ask.model = "m9-of-nobody";
        break;
      case 3:
        ask.pin = "nothing";
        break;
    }
  }
  return ask;
}

absl::Duration World::Step(uint64_t event) const {
  const uint64_t kind = Pick(event, "step", 100);
  const auto part = [&](uint64_t n) { return static_cast<int64_t>(Pick(event, "step#", n)); };
  if (kind < 30) return absl::ZeroDuration();
  if (kind < 55) return absl::Microseconds(part(300'000));
  if (kind < 80) return absl::Milliseconds(part(5'000));
  if (kind < 95) return absl::Seconds(part(60));
  if (kind < 99) return absl::Seconds(part(1'200));
  return absl::Minutes(part(30 * 60));
}

World::Answer World::Upstream(uint64_t event) const {
  Answer answer;
  // Weather: what is likely changes every hundred events.
  const uint64_t weather = Pick(event / 100, "weather", 5);
  const uint64_t at = Pick(event, "status", 100);
  const int good = weather == 0 ? 80 : weather == 1 ? 25 : weather == 2 ? 15 : 50;
  if (at < static_cast<uint64_t>(good)) {
    answer.status = 200;
  } else if (weather == 1 && at < 85) {
    answer.status = 429;
  } else if (weather == 2 && at < 80) {
    static const auto* const outage = new std::vector<int>{503, 503, 503, 408, 401, 0};
    answer.status = One(event, "outage", *outage);
    if (answer.status == 0) answer.stated = core::Outcome::kNetwork;
  } else {
    static const auto* const any = new std::vector<int>{429, 429, 429, 401, 402, 403, 404, 404,
                                                        503, 529, 529, 400, -1,  -2,  -3};
    answer.status = One(event, "any", *any);
    if (answer.status == -1) answer.stated = core::Outcome::kCancelled;
    if (answer.status == -2) answer.stated = core::Outcome::kNetwork;
    if (answer.status == -3) answer.stated = core::Outcome::kChallenge;
    if (answer.status < 0) answer.status = 0;
  }
  if ((answer.status == 429 && Chance(event, "hint", 60)) ||
      (answer.status == 402 && Chance(event, "hint", 50))) {
    static const auto* const hints = new std::vector<int>{1, 5, 30, 600, 1200, 7200, 604'800};
    answer.headers.emplace_back("retry-after", absl::StrCat(One(event, "hint#", *hints)));
  } else if (Chance(event, "window", 10)) {
    answer.headers.emplace_back("x-ratelimit-remaining-requests",
                                absl::StrCat(Pick(event, "left", 3)));
    answer.headers.emplace_back("x-ratelimit-reset-requests",
                                absl::StrCat(1 + Pick(event, "reset", 600), "s"));
  }
  return answer;
}

}  // namespace credbroker::sim
