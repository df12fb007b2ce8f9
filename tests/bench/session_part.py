"""Session streams: pairs a second by batch and messages in flight, against an empty stream handler
that moves the same bytes; many sidecars at once; how long a revocation takes; and the library's own
stock."""

import json
import subprocess
import sys
import time

import figures
import servers

CREDENTIALS = 50_000


class Empty(servers.Process):
    def __init__(self, context, folder, answer):
        self.target = f"unix:{folder}/empty.sock"
        super().__init__([context.program("empty_server"), f"{folder}/empty.sock",
                          f"{folder}/grant.bin", f"{folder}/report.bin", answer],
                         f"{folder}/empty.log")
        time.sleep(0.3)


def load(context, server, mode, batch, in_flight, sessions=1, save=None, connections=1):
    before = server.cpu_seconds()
    result = servers.call(context, "session_client", "--target", server.target, "--mode", mode,
                          "--batch", batch, "--in-flight", in_flight, "--sessions", sessions,
                          "--connections", connections, "--seconds", context.seconds,
                          *(["--save", save] if save else []))
    result["cpu_us"] = 1e6 * (server.cpu_seconds() - before) / max(1, result["pairs"])
    return result


def shapes(context):
    if context.smoke:
        return [("stock", 8, 2), ("acquire", 8, 2)]
    return [("stock", batch, in_flight) for batch in (1, 8, 32, 64) for in_flight in (1, 4, 16)] + \
           [("acquire", 32, in_flight) for in_flight in (1, 4)]


def interleave(context, broker, empty, shape):
    pairs = []
    for i in range(context.rounds):
        first, second = (broker, empty) if i % 2 == 0 else (empty, broker)
        a, b = load(context, first, *shape), load(context, second, *shape)
        pairs.append((a, b) if i % 2 == 0 else (b, a))
    return pairs


def run(context):
    credentials = 500 if context.smoke else CREDENTIALS
    data, rows, good = {}, [], True
    with context.folder() as folder, servers.Broker(context, folder) as broker:
        servers.call(context, "admin_client", broker.target, "create", credentials,
                     servers.TOKEN_BYTES)
        servers.call(context, "load_client", "--target", broker.target, "--mode", "pair",
                     "--count", 100, "--save", folder)
        for shape in shapes(context):
            mode, batch, in_flight = shape
            print(f"session: {mode}, batch {batch}, {in_flight} in flight", file=sys.stderr)
            answer = f"{folder}/{mode}-{batch}.bin"
            load(context, broker, mode, batch, 1, save=answer)
            with Empty(context, folder, answer) as empty:
                pairs = interleave(context, broker, empty, shape)
            a, b = [p[0] for p in pairs], [p[1] for p in pairs]
            ratios = [x["per_second"] / y["per_second"] for x, y in pairs]
            verdict = figures.at_least(ratios, 0.6)
            good &= verdict != "missed"
            data["/".join(map(str, shape))] = pairs
            rows.append([mode, batch, in_flight,
                         figures.shown([r["per_second"] / 1e3 for r in a], 1),
                         figures.shown([r["p99_us"] for r in a]),
                         figures.shown([r["cpu_us"] for r in a], 2),
                         figures.shown([r["per_second"] / 1e3 for r in b], 1),
                         figures.shown([r["p99_us"] for r in b]),
                         figures.shown(ratios, 2), verdict])
        print(figures.table(
            f"Sessions: one session, {credentials} credentials, acquire and report pairs (unix "
            "socket, client on the same machine; target: ratio >= 0.6)",
            ["mode", "batch", "in flight", "broker k pairs/s", "p99 us a message",
             "server CPU us/pair", "empty k pairs/s", "p99 us", "ratio", "verdict"], rows))
        many(context, broker, data)
    good &= revocations(context, data)
    good &= local(context, data)
    figures.save(context.out, "session", data)
    return good


def many(context, broker, data):
    """Sidecars with several streams each, all busy: what they take, and what a message waits."""
    sizes = [(4, 2, 8, 1)] if context.smoke else [(50, 1, 8, 2), (200, 1, 8, 2), (200, 8, 8, 1)]
    rows = []
    for connections, streams, batch, in_flight in sizes:
        before = broker.resident_bytes()
        runs = [load(context, broker, "stock", batch, in_flight, connections * streams,
                     connections=connections) for _ in range(context.rounds)]
        grown = (broker.resident_bytes() - before) / 2**20
        data[f"many/{connections}/{streams}"] = {"runs": runs, "grown_mib": grown}
        rows.append([connections, streams, batch, in_flight,
                     figures.shown([r["per_second"] / 1e3 for r in runs], 1),
                     figures.shown([r["p99_us"] / 1e3 for r in runs], 1),
                     f"{broker.resident_bytes() / 2**20:.0f}", f"{grown:+.0f}"])
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
