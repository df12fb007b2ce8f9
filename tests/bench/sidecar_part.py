"""The sidecar: gRPC Acquire against an empty handler, GET /lease against a static 204."""

import json
import subprocess
import time

import figures
import rpc_part
import servers


class Sidecar(servers.Process):
    def __init__(self, context, folder, broker):
        self.target = f"unix:{folder}/sidecar.sock"
        super().__init__([context.program("credbroker-sidecar"), "--broker", broker.target,
                          "--listen", self.target, "--http", "127.0.0.1:0"],
                         f"{folder}/sidecar.log")
        time.sleep(1)


def run(context):
    credentials = 200 if context.smoke else 1_000
    with context.folder() as folder, servers.Broker(context, folder) as broker:
        servers.call(context, "admin_client", broker.target, "create", credentials,
                     servers.TOKEN_BYTES)
        rows, data, good = [], {}, True
        with Sidecar(context, folder, broker) as sidecar:
            servers.call(context, "load_client", "--target", sidecar.target, "--mode", "pair",
                         "--count", 1000, "--save", folder)
            with rpc_part.Empty(context, folder, folder) as empty:
                for mode in ("pair",):
                    for in_flight in (1, 16, 64):
                        pairs = rpc_part.interleave(
                            context,
                            lambda m=mode, n=in_flight: servers.load(context, sidecar, m, n,
                                                                     context.seconds),
                            lambda m=mode, n=in_flight: servers.load(context, empty, m, n,
                                                                     context.seconds))
                        # 1.15 times the time: 1 / 1.15 of the throughput.
                        checks = ["throughput " + figures.at_least(
                            rpc_part.ratios(pairs, "per_second"), 1 / 1.15)]
                        line, ok = rpc_part.row(mode, in_flight, pairs, checks)
                        rows.append(line)
                        good &= ok
                        data[f"grpc/{mode}/{in_flight}"] = pairs
    print(figures.table(
        "Sidecar: gRPC Acquire and Report out of its stock against an empty handler (unix socket; "
        "target: throughput >= 0.87; latency is that of the Acquire)", rpc_part.HEAD, rows))
    command = [context.program("forward_auth_bench")]
    if context.smoke:
        command += ["--rounds", "3", "--requests", "200"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    figure = json.loads(done.stdout)
    data["forward_auth"] = figure
    ratios = [a / b for a, b in zip(figure["lease_us"], figure["static_us"])]
    print(figures.table(
        "Sidecar: GET /lease against a static 204 of the same listener (one kept connection; "
        "target: time <= 1.3)", ["lease us", "static us", "ratio", "verdict"],
        [[figures.shown(figure["lease_us"], 1), figures.shown(figure["static_us"], 1),
          figures.shown(ratios, 2), figures.at_most(ratios, 1.3)]]))
    good &= "missed" not in figures.at_most(ratios, 1.3)
    figures.save(context.out, "sidecar", data)
    return good
