"""50,000 imported credentials: start, pages, a large batch beside Acquire, memory."""

import time

import churn_part
import figures
import servers

FAILURES = 5  # of each credential; each is two transitions, so the history of 8 is full


def fill_history(context, broker, count):
    """Every credential fails and comes back often enough."""
    for _ in range(FAILURES):
        # Long enough that nobody is back, and fails again, before all have failed.
        churn_part.cool(context, broker, count, 15)
        while broker.metric('credbroker_credentials{group="default",provider="claude",'
                            'state="waiting"}') > 0:
            time.sleep(0.2)


def run(context):
    count, rows_in_batch = (1_000, 600) if context.smoke else (50_000, 30_000)
    rows, data = [], {}

    def note(what, values, digits, limit, unit):
        """A list was timed, a number counted."""
        if isinstance(values, list):
            shown, verdict = figures.shown(values, digits), figures.at_most(values, limit)
        else:
            shown, verdict = f"{values:.{digits}f}", figures.counted(values, limit)
        rows.append([what, shown, f"<= {limit} {unit}", verdict])
        data[what] = values

    with context.folder() as folder:
        with servers.Broker(context, folder) as broker:
            note("idle server, resident MiB", broker.resident_bytes() / 2**20, 1, 40, "MB")
            imported = servers.call(context, "admin_client", broker.target, "import", count,
                                    servers.TOKEN_BYTES)
            data["import, s"] = imported["seconds"]
        starts = []
        for _ in range(context.rounds):
            with servers.Broker(context, folder) as broker:
                starts.append(broker.ready_seconds)
        note(f"start to ready with {count:,}, s", starts, 2, 2, "s")
        with servers.Broker(context, folder) as broker:
            pages = [servers.call(context, "admin_client", broker.target, "list", context.seconds)
                     for _ in range(context.rounds)]
            note("page of 100 with a filter, p99 ms", [p["p99_ms"] for p in pages], 2, 10, "ms")
            batches, beside = [], []
            for i in range(context.rounds):
                load = servers.start(context, "load_client", "--target", broker.target, "--mode",
                                     "pair", "--in-flight", 4, "--seconds", 60, "--warm-up", 0.3)
                time.sleep(0.4)  # so that what is measured is beside the batch
                batches.append(servers.call(context, "admin_client", broker.target, "batch",
                                            rows_in_batch, i + 1)["seconds"])
                calls = servers.finish(load, now=True)
                # A batch that was over before the load began has no calls beside it.
                beside.append(calls["p99_us"] / 1e3 if calls["calls"] else float("inf"))
            note(f"BatchUpdate of {rows_in_batch:,}, s", batches, 2, 3, "s")
            note("Acquire p99 beside it, ms", beside, 2, 5, "ms")
    memory(context, count, note)
    figures.save(context.out, "fleet", data)
    print(figures.table(
        f"Fleet of {count:,} credentials, imported in {data['import, s']:.1f} s",
        ["figure", "value", "target", "verdict"], rows))
    return all(row[3] != "missed" for row in rows)


def memory(context, count, note):
    """What `count` more credentials take after a restart, when nothing but them is in memory."""
    with context.folder() as folder:
        with servers.Broker(context, folder) as broker:
            imported = servers.call(context, "admin_client", broker.target, "import", count,
                                    servers.TOKEN_BYTES)
        with servers.Broker(context, folder) as broker:
            fill_history(context, broker, count)
            full = broker.resident_bytes()
    with context.folder() as folder, servers.Broker(context, folder) as broker:
        # As many leases, so that what is remembered of ended ones does not count.
        servers.call(context, "admin_client", broker.target, "import", 1, servers.TOKEN_BYTES)
        servers.call(context, "load_client", "--target", broker.target, "--mode", "pair",
                     "--in-flight", 64, "--count", FAILURES * count, "--warm-up", 0,
                     "--seconds", 120)
        empty = broker.resident_bytes()
    each = (full - empty) / count
    note("resident bytes a credential, history full", each, 0,
         round(imported["document_bytes"] + 1.2 * 1024),
         f"= {imported['document_bytes']} own + 1,229")
