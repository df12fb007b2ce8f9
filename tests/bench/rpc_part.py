"""The broker against an empty handler on the same transport, and against Redis."""

import subprocess
import time

import figures
import servers


class Empty(servers.Process):
    def __init__(self, context, folder, saved):
        self.target = f"unix:{folder}/empty.sock"
        super().__init__([context.program("empty_server"), f"{folder}/empty.sock",
                          f"{saved}/grant.bin", f"{saved}/report.bin"], f"{folder}/empty.log")
        time.sleep(0.3)


class Redis(servers.Process):
    def __init__(self, context, folder, credentials):
        self.socket = f"{folder}/redis.sock"
        super().__init__(["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "",
                          "--appendonly", "no", "--dir", folder], f"{folder}/redis.log")
        time.sleep(0.5)
        with open(context.source("lease.lua"), "rb") as script:
            subprocess.run(["redis-cli", "-s", self.socket, "-x", "FUNCTION", "LOAD", "REPLACE"],
                           check=True, stdin=script, stdout=subprocess.DEVNULL)
        servers.call(context, "redis_client", self.socket, "fill", credentials,
                     servers.TOKEN_BYTES)

    def load(self, context, mode, in_flight, seconds, connections):
        before = self.cpu_seconds()
        result = servers.call(context, "redis_client", self.socket, mode, in_flight, seconds,
                              connections)
        result["cpu_us"] = 1e6 * (self.cpu_seconds() - before) / result["all_calls"]
        return result


def ratios(pairs, key):
    return [a[key] / b[key] for a, b in pairs]


def row(mode, in_flight, pairs, checks):
    a, b = [p[0] for p in pairs], [p[1] for p in pairs]
    line = [mode, in_flight]
    for runs in (a, b):
        line += [figures.shown([r["per_second"] / 1e3 for r in runs], 1),
                 figures.shown([r["p99_us"] for r in runs]),
                 figures.shown([r["cpu_us"] for r in runs], 1)]
    line += [figures.shown(ratios(pairs, "per_second"), 2), figures.shown(ratios(pairs, "p99_us"), 2)]
    return line + [", ".join(checks) or "-"], not any("missed" in check for check in checks)


HEAD = ["mode", "in flight", "broker k/s", "p99 us", "CPU us/call", "other k/s", "p99 us",
        "CPU us/call", "throughput ratio", "p99 ratio", "verdict"]


def run(context):
    credentials = 200 if context.smoke else 1_000
    with context.folder() as folder, servers.Broker(context, folder) as broker:
        servers.call(context, "admin_client", broker.target, "create", credentials,
                     servers.TOKEN_BYTES)
        servers.call(context, "load_client", "--target", broker.target, "--mode", "pair",
                     "--count", 100, "--save", folder)
        data = {}
        good = against_empty(context, folder, broker, data)
        good &= against_redis(context, folder, broker, credentials, data)
    figures.save(context.out, "rpc", data)
    return good


def against_empty(context, folder, broker, data):
    rows, good = [], True
    with Empty(context, folder, folder) as empty:
        for mode in ("acquire", "pair"):
            for in_flight in (1, 16, 64):
                pairs = interleave(
                    context,
                    lambda m=mode, n=in_flight: servers.load(context, broker, m, n,
                                                             context.seconds),
                    lambda m=mode, n=in_flight: servers.load(context, empty, m, n,
                                                             context.seconds))
                checks = []
                if mode == "acquire":
                    checks = [f"throughput {figures.at_least(ratios(pairs, 'per_second'), 0.9)}",
                              f"p99 {figures.at_most(ratios(pairs, 'p99_us'), 1.2)}"]
                line, ok = row(mode, in_flight, pairs, checks)
                rows.append(line)
                good &= ok
                data[f"empty/{mode}/{in_flight}"] = pairs
    print(figures.table(
        "RPC: the broker against an empty handler (unix socket; targets: throughput >= 0.9, "
        "p99 <= 1.2; a pair is two calls)", HEAD, rows))
    return good


def against_redis(context, folder, broker, credentials, data):
    """The broker has one connection throughout. Redis has one, pipelined, or one a call."""
    rows, good = [], True
    with Redis(context, folder, credentials) as redis:
        for mode in ("acquire", "pair"):
            for in_flight, connections in ((1, 1), (16, 1), (64, 1), (16, 16), (64, 64)):
                pairs = interleave(
                    context,
                    lambda m=mode, n=in_flight: servers.load(context, broker, m, n,
                                                             context.seconds),
                    lambda m=mode, n=in_flight, c=connections: redis.load(context, m, n,
                                                                          context.seconds, c))
                checks = []
                if mode == "acquire" and in_flight > 1:
                    checks = [f"throughput {figures.at_least(ratios(pairs, 'per_second'), 1.3)}"]
                line, ok = row(mode, in_flight, pairs, checks)
                line[1] = f"{in_flight}, {connections} connection{'s' if connections > 1 else ''}"
                rows.append(line)
                good &= ok
                data[f"redis/{mode}/{in_flight}/{connections}"] = pairs
    print(figures.table(
        "Redis: the broker against the lease logic as a Lua function (unix socket, nothing "
        "persisted; the broker on one connection, Redis on the number shown, pipelined where "
        "that is less than the calls in flight; target: throughput >= 1.3)", HEAD, rows))
    return good


def interleave(context, a, b):
    """Pairs of runs, who goes first alternating."""
    pairs = []
    for i in range(context.rounds):
        if i % 2 == 0:
            first = a()
            pairs.append((first, b()))
        else:
            second = b()
            pairs.append((a(), second))
    return pairs
