#include <string>

#include "absl/strings/str_cat.h"
#include "client/ctl/command.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

void PrintServer(Context& context, const v1::GetStatsResponse& stats) {
  Facts facts;
  facts.Add("version", stats.version());
  facts.Add("uptime", stats.has_uptime() ? SpanWords(ToDuration(stats.uptime())) : "");
  facts.Add("credentials", StateWords(stats.totals()));
  facts.Add("leases", absl::StrCat(Count(stats.live_leases()), " live, ",
                                   Count(stats.remembered_leases()), " remembered, ",
                                   Count(stats.expired_leases()), " expired without report"));
  facts.Add("parked calls", Count(stats.parked_calls()));
  facts.Add("sessions bound", Count(stats.session_bindings()));
  const v1::StoreStats& store = stats.store();
  facts.Add("store",
            Cell(absl::StrCat(store.backend(), store.healthy() ? ", healthy, " : ", FAILING, ",
                              Count(store.commit_count()), " commits, ",
                              Count(store.failed_commit_count()), " failed, ",
                              Count(store.pending_changes()), " pending"),
                 store.healthy() ? Color::kNone : Color::kRed));
  facts.Add("store error", Cell(store.last_error(), Color::kRed));
  if (store.quarantined_records() > 0) {
    facts.Add("quarantined", Cell(Count(store.quarantined_records()), Color::kRed));
  }
  facts.Add("configuration",
            AbsoluteIf(stats.has_config_time(), stats.config_time(), context.now()));
  facts.Add("refused reload", Cell(stats.config_error(), Color::kRed));
  if (stats.epoch() > 0) facts.Add("epoch", absl::StrCat(stats.epoch()));
  facts.Print(context.out(), context.style());
}

Table PoolTable(Context& context, const v1::GetStatsResponse& stats) {
  Table table({{"GROUP", false, true},
               {"PROVIDER"},
               {"AVAILABLE", true},
               {"BUSY", true},
               {"HALF-OPEN", true},
               {"WAITING", true},
               {"DISABLED", true},
               {"LEASES", true},
               {"PARKED", true},
               {"NEXT RECOVERY"},
               {"CAUSES", false, true}});
  for (const v1::PoolStats& pool : stats.pools()) {
    const v1::StateCounts& counts = pool.counts();
    table.Add(
        {pool.group(), pool.provider(),
         Cell(Count(counts.available()), counts.available() > 0 ? Color::kGreen : Color::kRed),
         Count(counts.busy()), Count(counts.half_open()), Count(counts.waiting()),
         Count(counts.disabled()), Count(pool.live_leases()), Count(pool.parked_calls()),
         RelativeIf(pool.has_next_recover_time(), pool.next_recover_time(), context.now()),
         CauseWords(pool.causes())});
  }
  return table;
}

Table ProbeTable(Context& context, const v1::GetStatsResponse& stats) {
  Table table({{"PROBES OF"},
               {"OUT", true},
               {"GRANTED", true},
               {"SUCCEEDED", true},
               {"FAILED", true},
               {"INCONCLUSIVE", true},
               {"PER MINUTE", true},
               {"NEXT"}});
  for (const v1::ProbeStats& probe : stats.probes()) {
    table.Add({probe.provider(), Count(probe.outstanding()), Count(probe.granted_count()),
               Count(probe.succeeded_count()), Count(probe.failed_count()),
               Count(probe.inconclusive_count()), absl::StrCat(probe.rate_per_minute()),
               probe.has_next_probe_time()
                   ? Relative(ToTime(probe.next_probe_time()), context.now())
                   : "now"});
  }
  return table;
}

Table BackoffTable(Context& context, const v1::GetStatsResponse& stats) {
  Table table({{"BACKS OFF"},
               {"PROVIDER"},
               {"MODEL", false, true},
               {"EGRESS", false, true},
               {"CAUSE"},
               {"BLOCKED UNTIL"},
               {"HALF-OPEN UNTIL"}});
  const absl::Time now = context.now();
  for (const v1::BackoffStats& each : stats.backoffs()) {
    table.Add({Word(each.scope()), each.provider(), each.model(), WithoutPassword(each.egress()),
               Word(each.cause()), RelativeIf(each.has_block_until(), each.block_until(), now),
               RelativeIf(each.has_avoid_until(), each.avoid_until(), now)});
  }
  for (const v1::BreakerStats& each : stats.breakers()) {
    table.Add({"breaker", each.provider(), "", WithoutPassword(each.egress()), "breaker_open",
               RelativeIf(each.has_open_until(), each.open_until(), now), ""});
  }
  return table;
}

class Stats final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {"stats", "Show the broker's numbers", "",
                                          "stats\nstats --group team\nstats -o json | jq .totals"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags.Text("--group", "NAME", &group_, "only this group");
  }

  absl::Status Run(Context& context) override {
    v1::GetStatsRequest request;
    request.set_group(group_);
    const auto stats = context.Call(context.admin(), &v1::AdminService::Stub::GetStats, request);
    if (!stats.ok()) return stats.status();
    if (context.json()) {
      context.PrintJson(*stats);
      return absl::OkStatus();
    }
    PrintServer(context, *stats);
    for (const Table& table :
         {PoolTable(context, *stats), ProbeTable(context, *stats), BackoffTable(context, *stats)}) {
      if (table.empty()) continue;
      context.out() << '\n';
      table.Print(context.out(), context.style());
    }
    return absl::OkStatus();
  }

 private:
  std::string group_;
};

}  // namespace

std::unique_ptr<Command> NewStats() { return std::make_unique<Stats>(); }

}  // namespace credbroker::ctl
