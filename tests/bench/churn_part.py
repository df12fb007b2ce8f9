"""Acquire beside churn: 50,000 imported credentials, 90 % WAITING, against 1,000 idle ones."""

import time

import figures
import rpc_part
import servers

TRANSITIONS_A_MINUTE = 700
IN_FLIGHT = 16


def fill(context, broker, count):
    servers.call(context, "admin_client", broker.target, "import", count, servers.TOKEN_BYTES)


def cool(context, broker, count, seconds):
    """`count` credentials into WAITING; each Acquire gets another one."""
    servers.call(context, "load_client", "--target", broker.target, "--mode", "cool",
                 "--in-flight", 64, "--count", count, "--warm-up", 0, "--seconds", 120,
                 "--retry-after", seconds)


def churned(context, broker, rate, transitions):
    """An Acquire load beside `rate` calls a second of another client.

    With `transitions` each of those is a failure and puts its credential into WAITING for 2 s: two
    transitions. Without, each is a success: the machine has as much to do, the pool nothing.
    """
    before = Written(broker)
    churn = servers.start(context, "load_client", "--target", broker.target, "--mode",
                          "cool" if transitions else "pair", "--in-flight", 64, "--rate", rate,
                          "--seconds", context.seconds + 0.5, "--warm-up", 0, "--retry-after", 2)
    result = servers.load(context, broker, "pair", IN_FLIGHT, context.seconds)
    servers.finish(churn)
    time.sleep(0.2)  # health is written behind by at most 0.1 s
    after = Written(broker)
    leases = max(1, after.leases - before.leases)
    result["leases"] = leases
    result["rows_a_lease"] = (after.rows - before.rows) / leases
    result["commits_a_lease"] = (after.commits - before.commits) / leases
    return result


class Written:
    """The broker's counts of leases granted, rows written and commits, now."""

    def __init__(self, broker):
        self.leases = broker.metric('credbroker_leases_total{event="granted"}')
        self.rows = broker.metric("credbroker_store_rows_written_total")
        self.commits = broker.metric("credbroker_store_commits_total")


def run(context):
    large, small = (2_000, 200) if context.smoke else (50_000, 1_000)
    rows, data, good = [], {}, True
    with context.folder() as a, context.folder() as b, servers.Broker(context, a) as busy, \
            servers.Broker(context, b) as idle:
        fill(context, busy, large)
        fill(context, idle, small)
        cool(context, busy, large * 9 // 10, 900)
        time.sleep(2)  # what that wrote behind is not the churn's
        for factor in (1,) if context.smoke else (1, 100):
            rate = TRANSITIONS_A_MINUTE * factor / 60 / 2
            pairs = rpc_part.interleave(
                context,
                lambda r=rate: churned(context, busy, r, True),
                lambda r=rate: churned(context, idle, r, False))
            p99 = rpc_part.ratios(pairs, "p99_us")
            writes = [p[0]["rows_a_lease"] + p[0]["commits_a_lease"] for p in pairs]
            checks = [f"p99 {figures.at_most(p99, 1.2)}"]
            if factor == 1:
                checks.append(f"writes {figures.at_most(writes, 0.01)}")
            good &= not any("missed" in c for c in checks)
            rows.append([f"{TRANSITIONS_A_MINUTE * factor:,}",
                         figures.shown([p[0]["p99_us"] for p in pairs]),
                         figures.shown([p[1]["p99_us"] for p in pairs]),
                         figures.shown(p99, 2),
                         figures.shown([p[0]["leases"] for p in pairs]),
                         figures.shown([p[0]["rows_a_lease"] for p in pairs], 5),
                         figures.shown([p[0]["commits_a_lease"] for p in pairs], 5),
                         ", ".join(checks)])
            data[f"churn/{factor}"] = pairs
    figures.save(context.out, "churn", data)
    print(figures.table(
        f"Churn: p99 of Acquire at {IN_FLIGHT} in flight, {large:,} credentials with 90 % WAITING "
        f"against {small:,} of which none changes, the same calls a second beside both (targets: "
        "ratio <= 1.2; < 0.01 rows and commits a lease at the first rate)",
        ["transitions/min", "busy p99 us", "idle p99 us", "ratio", "leases a run", "rows/lease",
         "commits/lease", "verdict"], rows))
    return good
