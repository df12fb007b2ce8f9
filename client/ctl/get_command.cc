#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/ctl/command.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

void PrintDocument(Context& context, const v1::Credential& credential) {
  const absl::Time now = context.now();
  Facts facts;
  facts.Add("id", Cell(credential.id(), Color::kBold));
  facts.Add("provider", absl::StrCat(credential.provider(), " (", Word(credential.kind()), ")"));
  facts.Add("group", credential.group());
  facts.Add("label", credential.label());
  facts.Add("email", credential.email());
  facts.Add("note", credential.note());
  facts.Add("priority", absl::StrCat(credential.priority()));
  if (credential.has_weight()) facts.Add("weight", absl::StrCat(credential.weight()));
  if (credential.has_max_in_flight()) {
    facts.Add("max in flight", absl::StrCat(credential.max_in_flight()));
  }
  if (credential.has_max_in_flight_per_model()) {
    facts.Add("max per model", absl::StrCat(credential.max_in_flight_per_model()));
  }
  facts.Add("prefix", credential.prefix());
  facts.Add("proxy", WithoutPassword(credential.proxy_url()));
  facts.Add("base url", credential.base_url());
  facts.Add("models", absl::StrJoin(credential.models(), ", "));
  facts.Add("excluded models", absl::StrJoin(credential.excluded_models(), ", "));
  std::vector<std::string> aliases;
  for (const auto& alias : credential.model_aliases()) {
    aliases.push_back(absl::StrCat(alias.alias(), " -> ", alias.model()));
  }
  facts.Add("aliases", absl::StrJoin(aliases, ", "));
  if (credential.disable_cooling()) facts.Add("cooling", "off");
  facts.Add("labels", Pairs(credential.labels()));
  facts.Add("source", credential.source());
  facts.Add("refreshed by", Word(credential.refresh_owner()));
  facts.Add("created", AbsoluteIf(credential.has_create_time(), credential.create_time(), now));
  facts.Add("updated", AbsoluteIf(credential.has_update_time(), credential.update_time(), now));
  facts.Add("etag", credential.etag());
  facts.Print(context.out(), context.style());
}

void PrintStatus(Context& context, const v1::Credential& credential) {
  const absl::Time now = context.now();
  const v1::CredentialStatus& status = credential.status();
  const v1::Intent& intent = credential.intent();
  Facts facts;
  facts.Add("state", StateCell(status));
  facts.Add("cause", Word(status.cause()));
  facts.Add("recovers",
            AbsoluteIf(status.has_next_recover_time(), status.next_recover_time(), now));
  if (intent.disabled()) {
    facts.Add("disabled by", intent.actor());
    facts.Add("reason", intent.reason());
    facts.Add("since", AbsoluteIf(intent.has_since(), intent.since(), now));
    facts.Add("until", AbsoluteIf(intent.has_until(), intent.until(), now));
  }
  facts.Add("auth", Word(status.auth_health()));
  facts.Add("in flight", absl::StrCat(status.in_flight()));
  facts.Add("waiting models", absl::StrJoin(status.waiting_models(), ", "));
  facts.Add("secret version", absl::StrCat(status.material_version()));
  facts.Add("secret written", AbsoluteIf(status.has_material_time(), status.material_time(), now));
  facts.Add("secret expires",
            AbsoluteIf(status.has_material_expire_time(), status.material_expire_time(), now));
  facts.Add("last used", AbsoluteIf(status.has_last_used_time(), status.last_used_time(), now));
  context.out() << '\n';
  facts.Print(context.out(), context.style());
}

void PrintTables(Context& context, const v1::CredentialStatus& status) {
  const absl::Time now = context.now();
  Table cooldowns({{"MODEL", false, true},
                   {"CAUSE"},
                   {"WAITS UNTIL"},
                   {"HALF-OPEN UNTIL"},
                   {"LEVEL", true},
                   {"BEGAN"},
                   {"HINT", false, true}});
  for (const v1::AvailabilityRecord& each : status.availability()) {
    cooldowns.Add({each.model().empty() ? "(all)" : each.model(), Word(each.cause()),
                   RelativeIf(each.has_block_until(), each.block_until(), now),
                   RelativeIf(each.has_avoid_until(), each.avoid_until(), now),
                   absl::StrCat(each.level()), RelativeIf(each.has_began(), each.began(), now),
                   each.raw_hint()});
  }
  Table windows({{"LIMIT OF"}, {"LIMIT", true}, {"REMAINING", true}, {"RESETS"}});
  for (const v1::RateWindow& each : status.rate_windows()) {
    windows.Add({each.name(), each.has_limit() ? Count(each.limit()) : "",
                 each.has_remaining() ? Count(each.remaining()) : "",
                 RelativeIf(each.has_reset_time(), each.reset_time(), now)});
  }
  Table history({{"WHEN"}, {"FROM"}, {"TO"}, {"WHY"}, {"CAUSE"}, {"MODEL", false, true}, {"BY"}});
  for (const v1::Transition& each : status.history()) {
    history.Add({RelativeIf(each.has_time(), each.time(), now), StateCell(each.from()),
                 StateCell(each.to()), Word(each.why()), Word(each.cause()), each.model(),
                 each.actor()});
  }
  for (const Table* table : {&cooldowns, &windows, &history}) {
    if (table->empty()) continue;
    context.out() << '\n';
    table->Print(context.out(), context.style());
  }
}

class Get final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "get", "Show credentials with their cooldowns and history",
        "The output of -o json can be edited and given to 'update --from'.",
        "get team/alice\nget team/alice -o json | jq -r .status.state"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags.Texts("ID", "ID", &ids_, "a credential's id").Required();
  }

  absl::Status Run(Context& context) override {
    bool first = true;
    for (const std::string& id : ids_) {
      v1::GetCredentialRequest request;
      request.set_id(id);
      const auto credential =
          context.Call(context.admin(), &v1::AdminService::Stub::GetCredential, request);
      if (!credential.ok()) {
        context.ItemFailed(id, credential.status());
        continue;
      }
      context.ItemDone();
      if (context.json()) {
        context.PrintJson(*credential);
        continue;
      }
      if (!first) context.out() << "\n---\n\n";
      first = false;
      PrintDocument(context, *credential);
      PrintStatus(context, *credential);
      PrintTables(context, credential->status());
    }
    return absl::OkStatus();
  }

 private:
  std::vector<std::string> ids_;
};

}  // namespace

std::unique_ptr<Command> NewGet() { return std::make_unique<Get>(); }

}  // namespace credbroker::ctl
