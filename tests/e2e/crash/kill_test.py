"""kill -9 loses no acknowledged admin change (promise 1).

Writers create, update, disable, enable, batch, undo, reset, delete and import, each on credentials of
its own. The server is killed at a random time or at a named point of a commit. After the restart
every acknowledged change must be there; the one change of each writer that was not acknowledged is
either there as a whole or not at all.
"""
import collections
import json
import random
import sqlite3
import threading
import time

import server_process as sp
from cases import Cases, sized
from server_process import admin, batch, transfer

KILLS = sized(15, 200, 1000)
WRITERS = 6
LIVE_PER_WRITER = 20
ABSENT = None


class Writer:
    """Makes changes one after the other. `model` holds what was acknowledged, `doubt` what the
    change now under way would make of its ids."""

    def __init__(self, number, seed):
        self.number = number
        self.random = random.Random(f"{seed}/{number}")
        self.model = {}
        self.doubt = {}
        self.whole = True  # the change under way is all or nothing
        self.acks = collections.Counter()
        self.serial = 0
        self.wrong = []

    def live(self, **only):
        return [i for i, s in self.model.items() if s is not ABSENT
                and all(s[k] == v for k, v in only.items())]

    def next(self):
        self.serial += 1
        return self.serial

    def run(self, server):
        """Until a call fails."""
        while True:
            try:
                self.step(server)
            except sp.grpc.RpcError as error:
                if error.code() != sp.grpc.StatusCode.UNAVAILABLE or sp.reason_of(error):
                    self.wrong.append(f"{error.code()} {error.details()}")
                return
            self.commit()

    def commit(self):
        self.model.update(self.doubt)
        self.doubt = {}

    def step(self, server):
        live = self.live()
        names = ["update", "update", "secret", "disable", "enable", "batch", "reset", "delete",
                 "create", "import"]
        if len(live) < 5:
            name = "create"
        elif len(live) > LIVE_PER_WRITER:
            name = "delete"
        else:
            name = self.random.choice(names)
        self.whole = name != "import"
        getattr(self, "do_" + name)(server, live)

    def acked(self, kind):
        self.commit()
        self.acks[kind] += 1

    def do_create(self, server, _):
        n = self.next()
        cred, key = f"w{self.number}-{n}", f"key-{self.number}-{n}"
        state = dict(priority=n, note=f"n{n}", disabled=False, key=key, reset=True)
        self.doubt = {cred: state}
        server.create(cred, key, priority=n, note=f"n{n}")
        self.acked("create")

    def do_update(self, server, live):
        cred, n = self.random.choice(live), self.next()
        note = "x" * self.random.choice([1, 50, 900]) + str(n)
        self.doubt = {cred: dict(self.model[cred], priority=n, note=note)}
        server.admin.UpdateCredential(admin.UpdateCredentialRequest(
            credential=dict(id=cred, priority=n, note=note),
            update_mask=dict(paths=["priority", "note"]), request_id=f"{cred}/{n}"), timeout=30)
        self.acked("update")

    def do_secret(self, server, live):
        cred, n = self.random.choice(live), self.next()
        key = f"key-{self.number}-{n}"
        self.doubt = {cred: dict(self.model[cred], key=key, or_key=None)}
        server.admin.UpdateCredential(admin.UpdateCredentialRequest(
            credential=dict(id=cred), secret=dict(api_key=key.encode())), timeout=30)
        self.acked("new secret")

    def do_disable(self, server, live):
        cred = self.random.choice(live)
        self.doubt = {cred: dict(self.model[cred], disabled=True)}
        server.admin.Disable(admin.DisableRequest(id=cred, reason="test"), timeout=30)
        self.acked("disable")

    def do_enable(self, server, live):
        cred = self.random.choice(self.live(disabled=True) or live)
        self.doubt = {cred: dict(self.model[cred], disabled=False)}
        server.admin.Enable(admin.EnableRequest(id=cred), timeout=30)
        self.acked("enable")

    def do_batch(self, server, live):
        ids = self.random.sample(live, min(len(live), self.random.randint(2, 10)))
        n, disabled = self.next(), self.random.random() < 0.5
        before = {i: self.model[i] for i in ids}
        self.doubt = {i: dict(self.model[i], priority=n, disabled=disabled) for i in ids}
        flip = dict(disable=dict(reason="b")) if disabled else dict(enable={})
        done = server.admin.BatchUpdate(batch.BatchUpdateRequest(
            ids=dict(ids=ids), operations=[dict(set_priority=n), flip],
            request_id=f"b{self.number}/{n}"), timeout=30)
        self.acked("batch")
        if self.random.random() < 0.4:
            self.doubt = before
            server.admin.UndoBatch(batch.UndoBatchRequest(batch_id=done.batch_id), timeout=30)
            self.acked("undo")

    def do_reset(self, server, live):
        enabled = self.live(disabled=False, reset=True)
        if not enabled:
            return
        cred = self.random.choice(enabled)
        # Not durable by itself, so it may be there or not; the reset after it is.
        self.model[cred] = dict(self.model[cred], reset=False)
        lease = server.pin(cred, ttl=dict(seconds=5)).lease_id
        server.report(lease, 429, retry_after=600)
        self.doubt = {cred: dict(self.model[cred], reset=True)}
        server.admin.ResetAvailability(admin.ResetAvailabilityRequest(id=cred), timeout=30)
        self.acked("reset")

    def do_delete(self, server, live):
        cred = self.random.choice(live)
        self.doubt = {cred: ABSENT}
        server.admin.DeleteCredential(admin.DeleteCredentialRequest(id=cred), timeout=30)
        self.acked("delete")

    def do_import(self, server, _):
        messages = [transfer.ImportCredentialsRequest(header=dict(source=f"src{self.number}"))]
        self.doubt = {}
        for _ in range(2):
            n = self.next()
            key = f"key-{self.number}-{n}"
            content = dict(type="openai", api_key=key, note=f"i{n}", priority=n)
            messages.append(transfer.ImportCredentialsRequest(file=dict(
                relative_path=f"f{n}.json", content=json.dumps(content).encode())))
            self.doubt[f"src{self.number}/f{n}"] = dict(priority=n, note=f"i{n}", disabled=False,
                                                       key=key, reset=True)
        try:
            done = server.admin.ImportCredentials(iter(messages), timeout=30)
        except sp.grpc.RpcError as error:
            if error.code() != sp.grpc.StatusCode.UNIMPLEMENTED:
                raise
            self.doubt = {}
            return
        if done.created_count != 2:
            self.wrong.append(f"import created {done.created_count}")
        self.acked("import")

    # --- after the restart ---

    def settle(self, actual, keys):
        """Compares; takes over what became of the change in doubt. Lost changes, for people."""
        lost = [self.differs(i, s, actual, keys) for i, s in self.model.items()
                if i not in self.doubt]
        lost = [line for line in lost if line]
        old = {i: self.differs(i, self.model.get(i), actual, keys) for i in self.doubt}
        new = {i: self.differs(i, s, actual, keys) for i, s in self.doubt.items()}
        for i in self.doubt:
            if old[i] and new[i]:
                lost.append(f"in doubt, neither old nor new: {old[i]} / {new[i]}")
        if self.whole and any(old.values()) and any(new.values()):
            lost.append(f"half a change: {old} / {new}")
        for i, state in self.doubt.items():
            if not new[i]:
                # The key of a disabled one cannot be seen: it may still be the old one.
                unseen = not old[i] and state is not ABSENT and self.model.get(i) is not ABSENT
                or_key = self.model[i]["key"] if unseen else None
                self.model[i] = dict(state, or_key=or_key) if unseen else state
        self.doubt = {}
        for i in self.live():
            if i in keys:
                self.model[i] = dict(self.model[i], key=keys[i], or_key=None)
        return lost

    def differs(self, cred, state, actual, keys):
        found = actual.get(cred)
        if state is ABSENT:
            return f"{cred} is back" if found is not None else ""
        if found is None:
            return f"{cred} is gone"
        if found.priority != state["priority"] or found.note != state["note"]:
            return f"{cred} has priority {found.priority}, not {state['priority']}"
        if found.intent.disabled != state["disabled"]:
            return f"{cred} disabled: {found.intent.disabled}, not {state['disabled']}"
        if state["reset"] and not state["disabled"] and found.status.state == sp.WAITING:
            return f"{cred} waits after its reset"
        if cred in keys and keys[cred] not in (state["key"], state.get("or_key")):
            return f"{cred} has key {keys[cred]}, not {state['key']}"
        return ""


def read_back(server):
    """All credentials and the keys of those that can be leased."""
    actual, keys = server.list_all(), {}
    for cred, found in actual.items():
        if found.status.state == sp.AVAILABLE and not found.status.half_open:
            keys[cred] = sp.key_of(server.pin(cred, ttl=dict(seconds=1)))
    return actual, keys


def kill_under_load(server, point, chance):
    """Loads the server until it is dead. The point that was met."""
    if point == "while starting":
        server.kill()
        server.spawn()
        time.sleep(chance.uniform(0, 0.3))
        server.kill()
        return point
    threads = [threading.Thread(target=w.run, args=(server,)) for w in writers]
    for thread in threads:
        thread.start()
    time.sleep(chance.uniform(0.02, 0.4))
    if point != "random time":
        server.shim.kill_at(point, chance.randint(1, 4 if "check" in point else 25))
        try:
            server.process.wait(8)
        except sp.subprocess.TimeoutExpired:
            point = "random time"
    if server.process.poll() is None:
        server.process.kill()
    server.process.wait()
    for thread in threads:
        thread.join(60)
    server.kill()
    return point


cases = Cases()
seed = int(time.time())
print(f"seed {seed}, {KILLS} kills")
chance = random.Random(seed)
writers = [Writer(n, seed) for n in range(WRITERS)]
server = sp.Server("kill")
cases.check(server.start(), "the server starts")
points = ["random time", *sp.KILL_POINTS, "random time", "while starting"]
met, compared, lost_all = collections.Counter(), 0, 0
for number in range(KILLS):
    point = kill_under_load(server, points[number % len(points)], chance)
    met[point] += 1
    if not server.start():
        cases.check(False, f"it starts again after kill {number}", server.log()[-500:])
        break
    actual, keys = read_back(server)
    lost = [line for w in writers for line in w.settle(actual, keys)]
    expected = sum(len(w.live()) for w in writers)
    if len(actual) != expected:
        lost.append(f"{len(actual)} credentials, not {expected}")
    if server.stats().store.quarantined_records:
        lost.append("rows were set aside")
    compared += sum(len(w.model) for w in writers)
    lost_all += len(lost)
    cases.check(not lost, f"kill {number} ({point}): {expected} credentials as acknowledged",
                "; ".join(lost[:5]))
acks = sum((w.acks for w in writers), collections.Counter())
wrong = [line for w in writers for line in w.wrong]
cases.check(not wrong, "no call failed but by the kill", "; ".join(wrong[:5]))
for kind in ("create", "update", "new secret", "disable", "enable", "batch", "undo", "reset",
             "delete", "import"):
    cases.check(acks[kind], f"the load acknowledged changes of kind '{kind}'")
cases.check(server.stop() == 0, "it stops")
check = sqlite3.connect(server.store).execute("PRAGMA integrity_check").fetchone()[0]
cases.check(check == "ok", "the file is sound in the end", check)
print(f"{sum(met.values())} kills {dict(met)}; {sum(acks.values())} acknowledged {dict(acks)}; "
      f"{compared} comparisons; {lost_all} lost")
cases.finish()
