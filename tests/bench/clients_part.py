"""Clients of sessions: many sidecars at once, how long a revocation takes, and the library's own
stock."""

import json
import subprocess
import sys
import time

import figures
import servers
import session_part

# A run of 1,600 sessions leaves as many behind, which hold leases: gone before the next run.
MANY = """\
sessions: {ttl: 2s, grace: 1s, ping_interval: 250ms, cancel_within: 500ms,
           max_sessions_per_principal: 4096}
"""
MANY_GONE_SECONDS = 4


def run(context):
    credentials = 500 if context.smoke else session_part.CREDENTIALS
    data = {}
    many(context, credentials, data)
    good = revocations(context, data)
    good &= local(context, data)
    figures.save(context.out, "clients", data)
    return good


def busy(context, broker, connections, streams, batch, in_flight):
    runs = []
    for _ in range(context.rounds):
        runs.append(session_part.load(context, broker, "stock", batch, in_flight,
                                      connections * streams, connections=connections))
        time.sleep(MANY_GONE_SECONDS)
    return runs


def many(context, credentials, data):
    """Sidecars with several streams each, all busy: what they take, and what a message waits."""
    sizes = [(4, 2, 8, 1)] if context.smoke else [(50, 1, 8, 2), (200, 1, 8, 2), (200, 8, 8, 1)]
    rows = []
    for connections, streams, batch, in_flight in sizes:
        print(f"session: {connections} sidecars, {streams} streams each", file=sys.stderr)
        with context.folder() as folder, servers.Broker(context, folder, MANY) as broker:
            servers.call(context, "admin_client", broker.target, "create", credentials,
                         servers.TOKEN_BYTES)
            before = broker.resident_bytes()
            runs = busy(context, broker, connections, streams, batch, in_flight)
            after = broker.resident_bytes()
        grown = (after - before) / 2**20
        data[f"many/{connections}/{streams}"] = {"runs": runs, "grown_mib": grown}
        rows.append([connections, streams, batch, in_flight,
                     figures.shown([r["per_second"] / 1e3 for r in runs], 1),
                     figures.shown([r["p99_us"] / 1e3 for r in runs], 1),
                     f"{after / 2**20:.0f}", f"{grown:+.0f}"])
    print(figures.table(
        "Many sidecars, all of them busy at once",
        ["connections", "streams each", "batch", "in flight", "k pairs/s", "p99 ms a message",
         "broker MiB afterwards", "MiB more"], rows))


def local(context, data):
    """Acquire and report out of a session's stock, in the library."""
    command = [context.program("stock_bench"), "--json", "--seconds", str(context.seconds)]
    runs = [json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            for _ in range(context.rounds)]
    data["local"] = runs
    rows, good = [], True
    for at in range(len(runs[0])):
        of = [run[at] for run in runs]
        p50, p99 = [r["acquire_p50_ns"] for r in of], [r["acquire_p99_ns"] for r in of]
        verdicts = [figures.at_most(p50, 1_000), figures.at_most(p99, 10_000)]
        good &= "missed" not in verdicts
        rows.append([of[0]["threads"], figures.shown([r["per_second"] / 1e3 for r in of], 1),
                     figures.shown(p50), figures.shown(p99),
                     figures.shown([r["report_p99_ns"] for r in of]),
                     f"p50 {verdicts[0]}, p99 {verdicts[1]}"])
    print(figures.table(
        "Local Acquire out of a session's stock (targets: p50 < 1 us, p99 < 10 us)",
        ["threads", "k leases/s", "Acquire p50 ns", "p99 ns", "report p99 ns", "verdict"], rows))
    return good


def revocations(context, data):
    """From the answer to the report on one session to the revocation on another."""
    count = 50 if context.smoke else 500
    runs = []
    for _ in range(context.rounds):
        with context.folder() as folder, servers.Broker(context, folder) as broker:
            servers.call(context, "admin_client", broker.target, "create", count,
                         servers.TOKEN_BYTES)
            runs.append(servers.call(context, "session_client", "--target", broker.target,
                                     "--mode", "revoke", "--count", count))
    data["revoke"] = runs
    verdict = figures.at_most([r["p99_us"] for r in runs], 5_000)
    print(figures.table(
        "Revocation: acknowledged report to receipt on another session (target: p99 <= 5 ms)",
        ["revocations", "p50 us", "p99 us", "verdict"],
        [[count, figures.shown([r["p50_us"] for r in runs]),
          figures.shown([r["p99_us"] for r in runs]), verdict]]))
    return verdict != "missed"
