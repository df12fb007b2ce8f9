"""Session streams: pairs a second by batch and messages in flight, against an empty stream handler
that moves the same bytes."""

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
    figures.save(context.out, "session", data)
    return good
