"""Acquire beside churn: 50,000 credentials, 90 % WAITING, against 1,000 idle ones."""

import time

import figures
import rpc_part
import servers

TRANSITIONS_A_MINUTE = 700
IN_FLIGHT = 16


def create(context, broker, count):
    servers.call(context, "admin_client", broker.target, "create", count, servers.TOKEN_BYTES)


def cool(context, broker, count, seconds):
    """`count` credentials into WAITING; each Acquire gets another one."""
    servers.call(context, "load_client", "--target", broker.target, "--mode", "cool",
                 "--in-flight", 64, "--count", count, "--warm-up", 0, "--seconds", 120,
                 "--retry-after", seconds)


def churned(context, broker, rate):
    """An Acquire load while failures put credentials into WAITING for 2 s each.

    A failure is two transitions: into WAITING and back.
    """
    churn = servers.start(context, "load_client", "--target", broker.target, "--mode", "cool",
                          "--in-flight", 64, "--rate", rate / 2, "--seconds",
                          context.seconds + 0.5, "--warm-up", 0, "--retry-after", 2)
    result = servers.load(context, broker, "pair", IN_FLIGHT, context.seconds)
    servers.finish(churn)
    return result


def run(context):
    large, small = (2_000, 200) if context.smoke else (50_000, 1_000)
    rows, data, good = [], {}, True
    with context.folder() as a, context.folder() as b, servers.Broker(context, a) as busy, \
            servers.Broker(context, b) as idle:
        create(context, busy, large)
        create(context, idle, small)
        cool(context, busy, large * 9 // 10, 900)
        time.sleep(2)  # what that wrote behind is not the churn's
        for factor in (1,) if context.smoke else (1, 100):
            rate = TRANSITIONS_A_MINUTE * factor / 60
            leases0, writes0 = leases(busy), busy.metric("credbroker_store_rows_written_total")
            pairs = rpc_part.interleave(
                context,
                lambda r=rate: churned(context, busy, r),
                lambda: servers.load(context, idle, "pair", IN_FLIGHT, context.seconds))
            writes = (busy.metric("credbroker_store_rows_written_total") - writes0) / max(
                1, leases(busy) - leases0)
            p99 = rpc_part.ratios(pairs, "p99_us")
            checks = [f"p99 {figures.at_most(p99, 1.2)}"]
            if factor == 1:
                checks.append("writes " + ("met" if writes < 0.01 else "missed"))
            good &= not any("missed" in c for c in checks)
            rows.append([f"{TRANSITIONS_A_MINUTE * factor:,}",
                         figures.shown([p[0]["p99_us"] for p in pairs]),
                         figures.shown([p[1]["p99_us"] for p in pairs]),
                         figures.shown(p99, 2), f"{writes:.5f}", ", ".join(checks)])
            data[f"churn/{factor}"] = {"pairs": pairs, "writes_per_lease": writes}
    figures.save(context.out, "churn", data)
    print(figures.table(
        f"Churn: p99 of Acquire at {IN_FLIGHT} in flight, {large:,} credentials with 90 % WAITING "
        f"against {small:,} idle ones (targets: ratio <= 1.2; < 0.01 rows written a lease)",
        ["transitions/min", "busy p99 us", "idle p99 us", "ratio", "store rows/lease", "verdict"],
        rows))
    return good


def leases(broker):
    return broker.metric('credbroker_leases_total{event="granted"}')
