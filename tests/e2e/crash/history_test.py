"""Histories of a live server: no grant of a WAITING or DISABLED credential once that was acknowledged
(promise 4), no more leases at once than a cap (promise 3).

Clients in several processes record what they saw with CLOCK_MONOTONIC, which all share; afterwards
the records are compared. A grant is wrong only where no order of the calls explains it.
"""
import bisect
import collections
import multiprocessing
import random
import sys
import threading
import time

import server_process as sp
from cases import Cases, sized

SECONDS = sized(5, 60, 600)
PROCESSES = sized(2, 3, 3)
THREADS = 4
CREDENTIALS = 60
CAPS = [1, 2, 5]


def call_stub(socket):
    channel = sp.grpc.insecure_channel("unix:" + socket)
    return sp.broker_pb2_grpc.BrokerServiceStub(channel)


def in_threads(count, work):
    """work(thread number) in `count` threads; their results."""
    results = [None] * count

    def run(number):
        results[number] = work(number)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [row for rows in results for row in rows]


def acquire_all_the_time(socket, until, out):
    """A process that leases anything it can: rows (call began, answered, credential)."""
    stub = call_stub(socket)

    def work(_):
        rows = []
        while time.monotonic() < until:
            began = time.monotonic_ns()
            try:
                grant = stub.Acquire(sp.broker.AcquireRequest(
                    providers=["openai"], ttl=dict(seconds=1)), timeout=10)
            except sp.grpc.RpcError as error:
                if error.code() != sp.grpc.StatusCode.RESOURCE_EXHAUSTED:
                    rows.append((began, 0, f"{error.code()} {error.details()}"))
                continue
            rows.append((began, time.monotonic_ns(), grant.credential_id))
            stub.Release(sp.broker.ReleaseRequest(lease_id=grant.lease_id), timeout=10)
        return rows

    out.put(in_threads(THREADS, work))


def hold_all_the_time(socket, until, out):
    """A process that holds leases for a while: rows (held from, held until, credential)."""
    stub = call_stub(socket)

    def work(_):
        rows = []
        while time.monotonic() < until:
            try:
                grant = stub.Acquire(sp.broker.AcquireRequest(
                    group="capped", providers=["openai"], ttl=dict(seconds=60),
                    max_wait=dict(seconds=1)), timeout=10)
            except sp.grpc.RpcError as error:
                if error.code() != sp.grpc.StatusCode.RESOURCE_EXHAUSTED:
                    rows.append((0, 0, f"{error.code()} {error.details()}"))
                continue
            began = time.monotonic_ns()
            time.sleep(random.random() * 0.01)
            ended = time.monotonic_ns()
            rows.append((began, ended, grant.credential_id))
            if random.random() < 0.5:
                item = dict(lease_id=grant.lease_id, http_status=200)
                stub.Report(sp.broker.ReportRequest(**{sp.REPORTS: [item]}), timeout=10)
            else:
                stub.Release(sp.broker.ReleaseRequest(lease_id=grant.lease_id), timeout=10)
        return rows

    out.put(in_threads(2 * THREADS, work))


def run_processes(target, server, until):
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    children = [context.Process(target=target, args=(server.socket, until, out))
                for _ in range(PROCESSES)]
    for child in children:
        child.start()
    return children, out


def collect(children, out):
    rows = [row for _ in children for row in out.get(timeout=SECONDS + 120)]
    for child in children:
        child.join()
    return rows


def block_and_free(server, until):
    """Blocks and frees credentials in threads: rows (acknowledged, freeing began, credential, how)."""
    def work(number):
        rows, mine = [], [f"c{n}" for n in range(CREDENTIALS) if n % THREADS == number]
        while time.monotonic() < until:
            cred = random.choice(mine)
            how = random.choice(["disable", "report", "delete"])
            if how == "disable":
                server.admin.Disable(sp.admin.DisableRequest(id=cred), timeout=30)
                acked = time.monotonic_ns()
            elif how == "report":
                lease = server.pin(cred, ttl=dict(seconds=5)).lease_id
                if server.report(lease, 429, retry_after=600).state != sp.WAITING:
                    rows.append((0, 0, cred, "not WAITING after a 429"))
                acked = time.monotonic_ns()
            else:
                server.admin.DeleteCredential(sp.admin.DeleteCredentialRequest(id=cred),
                                              timeout=30)
                acked = time.monotonic_ns()
            time.sleep(random.random() * 0.03)
            rows.append((acked, time.monotonic_ns(), cred, how))
            if how == "disable":
                server.admin.Enable(sp.admin.EnableRequest(id=cred), timeout=30)
            elif how == "report":
                server.admin.ResetAvailability(sp.admin.ResetAvailabilityRequest(id=cred),
                                               timeout=30)
            else:
                server.create(cred, "key")
        return rows

    return in_threads(THREADS, work)


def grants_while_blocked(grants, blocks):
    """Grants of calls that began after the acknowledgement and ended before the freeing began."""
    by_cred = collections.defaultdict(list)
    for acked, freed, cred, how in sorted(blocks):
        by_cred[cred].append((acked, freed, how))
    wrong, inside = [], 0
    for began, answered, cred in grants:
        spans = by_cred[cred]
        at = bisect.bisect_right(spans, (began,)) - 1
        if at < 0:
            continue
        acked, freed, how = spans[at]
        inside += began < freed
        if answered < freed:
            wrong.append(f"{cred} granted {(began - acked) / 1e6:.3f} ms after its {how}")
    return wrong, inside


def most_at_once(rows):
    """Per credential, the highest number of leases certainly held at one time."""
    by_cred = collections.defaultdict(list)
    for began, ended, cred in rows:
        by_cred[cred] += [(began, 1), (ended, -1)]
    most = {}
    for cred, events in by_cred.items():
        held = highest = 0
        for _, step in sorted(events):  # at the same time, ends come first
            held += step
            highest = max(highest, held)
        most[cred] = highest
    return most


def self_check(cases):
    """The comparisons must be able to fail."""
    wrong, _ = grants_while_blocked([(11, 12, "c"), (5, 25, "c"), (11, 21, "c")],
                                    [(10, 20, "c", "disable")])
    cases.check(len(wrong) == 1, "a grant inside a block is found, possible ones are not",
                str(wrong))
    cases.check(most_at_once([(1, 3, "a"), (2, 4, "a"), (4, 5, "a")]) == {"a": 2},
                "overlapping leases are counted")


def main():
    cases = Cases()
    self_check(cases)
    server = sp.Server("history", groups="groups: [{name: capped}]")
    cases.check(server.start(), "the server starts")
    for n in range(CREDENTIALS):
        server.create(f"c{n}", "key")
    until = time.monotonic() + SECONDS + 1
    children, out = run_processes(acquire_all_the_time, server, until)
    blocks = block_and_free(server, until)
    rows = collect(children, out)
    grants = [row for row in rows if row[1]]
    broken = [row[2] for row in rows if not row[1]] + [b[3] for b in blocks if not b[0]]
    cases.check(not broken, "every call was granted or refused", "; ".join(broken[:3]))
    wrong, close = grants_while_blocked(grants, [b for b in blocks if b[0]])
    cases.check(len(grants) > 100 * SECONDS and len(blocks) > 10 * SECONDS,
                f"{len(grants)} grants, {len(blocks)} blocks: enough to mean something")
    cases.check(not wrong, f"{len(wrong)} of {len(grants)} grants while blocked",
                "; ".join(wrong[:5]))
    print(f"{len(grants)} grants, {len(blocks)} acknowledged blocks "
          f"{dict(collections.Counter(b[3] for b in blocks))}, {close} calls began inside a block, "
          f"{len(wrong)} violations")

    for cap in CAPS:
        server.create(f"cap{cap}", "key", group="capped", max_in_flight=cap)
    until = time.monotonic() + SECONDS + 1
    rows = collect(*run_processes(hold_all_the_time, server, until))
    broken = [row[2] for row in rows if not row[1]]
    cases.check(not broken, "every call was granted or refused", "; ".join(broken[:3]))
    most = most_at_once([row for row in rows if row[1]])
    for cap in CAPS:
        cases.check(most.get(f"cap{cap}", 0) == cap,
                    f"cap {cap}: reached and never passed ({most.get(f'cap{cap}', 0)})")
    status = {cap: server.get(f"cap{cap}").status.in_flight for cap in CAPS}
    cases.check(not any(status.values()), "no slot leaked", str(status))
    print(f"{len(rows)} leases held, most at once per cap {most}")
    cases.check(server.stop() == 0, "it stops")
    cases.finish()


if __name__ == "__main__":
    sys.exit(main())
