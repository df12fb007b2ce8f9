"""Health is written at most 100 ms behind and survives kill -9 as absolute times."""
import random
import time

import server_process as sp
from cases import Cases, sized

ROUNDS = sized(3, 30, 200)
PER_ROUND = 10

cases = Cases()
server = sp.Server("behind")
cases.check(server.start(), "the server starts")
for n in range(PER_ROUND):
    server.create(f"long-{n}", f"key-{n}")
waited = 0
for number in range(ROUNDS):
    server.create(f"short-{number}", "key")
    before = {}
    for n in range(PER_ROUND):
        if number == 0 or random.random() < 0.5:
            if number:
                server.admin.ResetAvailability(sp.admin.ResetAvailabilityRequest(id=f"long-{n}"),
                                               timeout=10)
            result = server.report(server.pin(f"long-{n}").lease_id, 429, retry_after=600 + n)
            before[f"long-{n}"] = result.next_recover_time.ToNanoseconds()
    result = server.report(server.pin(f"short-{number}").lease_id, 429, retry_after=4)
    before[f"short-{number}"] = result.next_recover_time.ToNanoseconds()
    time.sleep(0.3)
    server.kill()
    cases.check(server.start(), f"round {number}: it starts again")
    wrong = []
    for cred, time_ns in before.items():
        status = server.get(cred).status
        # The store keeps microseconds at least.
        if (status.state != sp.WAITING
                or abs(status.next_recover_time.ToNanoseconds() - time_ns) > 1000):
            wrong.append(f"{cred}: {status.state} until {status.next_recover_time}")
    cases.check(not wrong, f"round {number}: {len(before)} still wait for the same time",
                "; ".join(wrong[:3]))
    waited += len(before)
    due = before[f"short-{number}"] / 1e9
    while (state := server.get(f"short-{number}").status.state) == sp.WAITING:
        if time.time() > due + 5:
            break
        time.sleep(0.02)
    late = time.time() - due
    cases.check(state == sp.AVAILABLE and -0.2 < late < 1,
                f"round {number}: the short one is AVAILABLE when its time has come",
                f"state {state}, {late:.2f} s late")
print(f"{ROUNDS} kills, {waited} cooldowns compared")
cases.check(server.stop() == 0, "it stops")
cases.finish()
