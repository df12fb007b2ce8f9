"""Steps of the wall clock while the server runs shorten and lengthen nothing (promise 12)."""
import os
import threading
import time

import server_process as sp
from cases import Cases

HOUR, YEAR = 3600, 365 * 86400
LEASE_S, COOLDOWN_S, UNTIL_S, PARK_S = 6, 7, 8, 5
SLACK_S = 1.5  # of a busy machine


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """When something became true, in seconds since `start`; None: not yet."""

    def __init__(self, start, test):
        self.start, self.test, self.at = start, test, None

    def look(self):
        if self.at is None and self.test():
            self.at = time.monotonic() - self.start


def wait_briefly(cases, name, server, timeout):
    began = time.monotonic()
    try:
        server.broker.Acquire(sp.broker.AcquireRequest(
            providers=["openai"], credential_id="parked", max_wait=dict(seconds=2)),
            timeout=timeout)
        how = "granted"
    except sp.grpc.RpcError as error:
        how = sp.reason_of(error)
    took = time.monotonic() - began
    cases.check(how == "WAIT_EXPIRED" and 1.8 < took < 2 + SLACK_S,
                f"{name}: a call of after the jump (deadline {timeout}) waited 2 s",
                f"{took:.2f} s, {how}")


def run_jump(cases, name, jump_s):
    # The watchdog ends the server if the jump makes it believe that no call gets through.
    server = sp.Server("clock", runtime="  watchdog: {interval: 1s, timeout: 1s, failures: 2}")
    cases.check(server.start(), f"{name}: the server starts")
    reads = server.shim["clock_reads"]
    cases.check(reads > 0, f"{name}: the server reads the clock that is moved", str(reads))
    for cred in ("leased", "cooling", "cooling2", "until", "parked"):
        server.create(cred, "key", max_in_flight=1)
    for n in range(50):
        server.create(f"other-{n}", "key")

    start = time.monotonic()
    server.pin("leased", ttl=dict(seconds=LEASE_S))
    kept = server.pin("parked", ttl=dict(seconds=60)).lease_id
    late = server.pin("cooling2").lease_id
    cooling = server.report(server.pin("cooling").lease_id, 429, retry_after=COOLDOWN_S)
    now = server.stats().time.ToNanoseconds()
    until = sp.admin.DisableRequest(id="until", reason="test")
    until.until.FromNanoseconds(now + UNTIL_S * 10**9)
    server.admin.Disable(until, timeout=10)
    parked = []

    def park():
        began = time.monotonic()
        try:
            server.pin("parked", max_wait=dict(seconds=PARK_S))
            parked.append((time.monotonic() - began, "granted"))
        except sp.grpc.RpcError as error:
            parked.append((time.monotonic() - began, sp.reason_of(error)))

    thread = threading.Thread(target=park)
    thread.start()
    time.sleep(1)
    before = server.stats()
    cpu = cpu_seconds(server.process.pid)
    server.shim["clock_shift_ns"] = jump_s * 10**9

    # Calls that wait, begun within the second after the jump: with a deadline and without.
    waits = [threading.Thread(target=wait_briefly, args=(cases, name, server, timeout))
             for timeout in (8, None)]
    for wait in waits:
        wait.start()
    # A cooldown that begins after the jump, from a lease of before.
    late_start = time.monotonic()
    result = server.report(late, 429, retry_after=3)
    after = server.stats()
    moved = abs(after.time.ToNanoseconds() - before.time.ToNanoseconds()) / 1e9
    cases.check(moved < 30, f"{name}: the broker's time did not jump", f"{moved} s")
    cases.check(result.state == sp.WAITING, f"{name}: a report after the jump is taken")
    fixed = server.get("cooling").status.next_recover_time
    cases.check(fixed == cooling.next_recover_time, f"{name}: the recover time did not move",
                f"{fixed} {cooling.next_recover_time}")
    for what, probe in (("leased", lambda: server.pin("leased")),
                        ("cooling", lambda: server.pin("cooling"))):
        try:
            probe()
            cases.check(False, f"{name}: '{what}' is still refused", "it was granted")
        except sp.grpc.RpcError as error:
            cases.check(error.code() == sp.grpc.StatusCode.RESOURCE_EXHAUSTED,
                        f"{name}: '{what}' is still refused", str(error.details()))
    renewed = server.broker.Renew(sp.broker.RenewRequest(lease_id=kept, ttl=dict(seconds=60)),
                                  timeout=10)
    ahead = (renewed.expire_time.ToNanoseconds() - server.stats().time.ToNanoseconds()) / 1e9
    cases.check(55 < ahead <= 60, f"{name}: a renewed lease lasts what was asked", f"{ahead} s")

    ends = {
        "lease": (LEASE_S, Watch(start, lambda: server.get("leased").status.in_flight == 0)),
        "cooldown": (COOLDOWN_S, Watch(
            start, lambda: server.get("cooling").status.state == sp.AVAILABLE)),
        "until": (UNTIL_S, Watch(
            start, lambda: server.get("until").status.state == sp.AVAILABLE)),
        "late cooldown": (3, Watch(
            late_start, lambda: server.get("cooling2").status.state == sp.AVAILABLE)),
    }
    while time.monotonic() - start < UNTIL_S + 3:
        for _, watch in ends.values():
            watch.look()
        time.sleep(0.05)
    for what, (due, watch) in ends.items():
        cases.check(watch.at is not None and due - 0.1 < watch.at < due + SLACK_S,
                    f"{name}: the {what} ended after {due} s", f"{watch.at}")
    for wait in waits:
        wait.join(30)
    thread.join(30)
    took, how = parked[0]
    cases.check(how == "WAIT_EXPIRED" and PARK_S - 0.2 < took < PARK_S + SLACK_S,
                f"{name}: a parked call waited {PARK_S} s", f"{took:.2f} s, {how}")
    commits = server.stats().store.commit_count - before.store.commit_count
    cases.check(commits <= 12, f"{name}: no storm of writes ({commits} commits)")
    spent = cpu_seconds(server.process.pid) - cpu
    wall = time.monotonic() - start
    cases.check(spent < wall / 2, f"{name}: no storm of work ({spent:.2f} s CPU in {wall:.0f} s)")
    began = time.monotonic()
    code = server.stop()
    cases.check(code == 0 and time.monotonic() - began < 10, f"{name}: it stops", f"exit {code}")


cases = Cases()
jumps = {"+1 h": HOUR, "-1 h": -HOUR, "+1 y": YEAR, "-1 y": -YEAR}
threads = []
for name, jump_s in jumps.items():
    def guarded(name=name, jump_s=jump_s):
        try:
            run_jump(cases, name, jump_s)
        except Exception as error:  # pylint: disable=broad-except
            cases.check(False, f"{name}: the test ran to its end", repr(error))

    threads.append(threading.Thread(target=guarded))
    threads[-1].start()
for thread in threads:
    thread.join()
print(f"{len(jumps)} jumps")
cases.finish()
