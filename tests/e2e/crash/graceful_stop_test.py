"""SIGTERM under load, with open streams and parked calls (promise 16)."""
import threading
import time

import server_process as sp
from cases import Cases, sized

ROUNDS = sized(2, 10, 50)
WRITERS, WATCHERS, PARKED = 6, 3, 20
cases = Cases()


class Load:
    """Everything that goes on when the signal comes."""

    def __init__(self, server):
        self.server = server
        self.model, self.doubt = {}, {}
        self.acks = 0
        self.unanswered, self.answers, self.ends = [], [], []
        self.ready, self.refusals = [], []
        self.signalled = threading.Event()
        work = ([(self.write, n) for n in range(WRITERS)] + [(self.watch, n) for n in range(WATCHERS)]
                + [(self.park, n) for n in range(PARKED)] + [(self.lease, 0), (self.look, 0)])
        self.threads = [threading.Thread(target=run, args=(n,)) for run, n in work]
        self.port = server.http_port()
        self.channels = [server.new_channel() for _ in range(4)]
        for thread in self.threads:
            thread.start()

    def stub(self, n):
        return sp.admin_pb2_grpc.AdminServiceStub(self.channels[n % 4])

    def write(self, n):
        stub, serial = self.stub(n), 0
        while True:
            serial += 1
            cred = f"c{n}"
            before = not self.signalled.is_set()
            self.doubt[cred] = serial
            try:
                stub.UpdateCredential(sp.admin.UpdateCredentialRequest(
                    credential=dict(id=cred, priority=serial),
                    update_mask=dict(paths=["priority"])), timeout=30)
            except sp.grpc.RpcError as error:
                reason = sp.reason_of(error)
                self.refusals.append((time.monotonic(), error.code(), reason))
                if reason:
                    del self.doubt[cred]  # it says that nothing changed
                elif before:
                    self.unanswered.append(f"change: {error.code()} {error.details()}")
                return
            self.acks += 1
            self.model[cred] = serial
            del self.doubt[cred]

    def watch(self, n):
        try:
            for _ in self.stub(n).WatchCredentials(sp.stats.WatchCredentialsRequest(
                    send_initial=True)):
                pass
            self.ends.append("")
        except sp.grpc.RpcError as error:
            self.ends.append(sp.reason_of(error))

    def park(self, n):
        stub = sp.broker_pb2_grpc.BrokerServiceStub(self.channels[n % 4])
        try:
            stub.Acquire(sp.broker.AcquireRequest(group="other", providers=["openai"], credential_id="busy",
                                                  max_wait=dict(seconds=60)),
                         timeout=70)
            self.answers.append("granted")
        except sp.grpc.RpcError as error:
            self.answers.append(sp.reason_of(error) or f"unanswered: {error.code()}")

    def lease(self, _):
        stub = sp.broker_pb2_grpc.BrokerServiceStub(self.channels[0])
        while True:
            before = not self.signalled.is_set()
            try:
                stub.Acquire(sp.broker.AcquireRequest(providers=["openai"]), timeout=10)
            except sp.grpc.RpcError as error:
                if not sp.reason_of(error) and before:
                    self.unanswered.append(f"Acquire: {error.code()} {error.details()}")
                return

    def look(self, _):
        while True:
            status, _body = self.server.http_get("/readyz", self.port)
            self.ready.append((time.monotonic(), status))
            if status == 0:
                return
            time.sleep(0.01)


def one_round(number):
    server = sp.Server("stop", groups="groups: [{name: other}]", runtime="  drain_delay: 1s\n  drain_timeout: 4s")
    cases.check(server.start(), f"round {number}: the server starts")
    for n in range(WRITERS):
        server.create(f"c{n}", "key")
    server.create("busy", "key", max_in_flight=1, group="other")
    server.broker.Acquire(sp.broker.AcquireRequest(group="other", providers=["openai"], credential_id="busy"), timeout=10)
    load = Load(server)
    end = time.monotonic() + 20
    while server.stats().parked_calls < PARKED and time.monotonic() < end:
        time.sleep(0.02)
    parked = server.stats().parked_calls
    cases.check(parked == PARKED, f"round {number}: {PARKED} calls are parked", str(parked))
    time.sleep(0.5)
    load.signalled.set()
    signalled = time.monotonic()
    server.process.terminate()
    code = server.process.wait(30)
    took = time.monotonic() - signalled
    for thread in load.threads:
        thread.join(60)
    cases.check(code == 0 and took < 10, f"round {number}: it ended in {took:.1f} s",
                f"exit code {code}")
    not_ready = [at for at, status in load.ready if status == 503]
    first_refusal = min(at for at, _, _ in load.refusals)
    cases.check(not_ready and not_ready[0] < first_refusal,
                f"round {number}: /readyz was 503 before the first refusal",
                f"{len(not_ready)} answers of 503")
    cases.check(first_refusal - signalled > 0.8,
                f"round {number}: calls were taken for the drain delay",
                f"{first_refusal - signalled:.2f} s")
    cases.check(not load.unanswered, f"round {number}: no call of before the signal went unanswered",
                "; ".join(load.unanswered[:3]))
    cases.check(len(load.answers) == PARKED and not any("unanswered" in a for a in load.answers),
                f"round {number}: every parked call was answered {sorted(set(load.answers))}")
    cases.check(len(load.ends) == WATCHERS and all(load.ends),
                f"round {number}: every stream was told {sorted(set(load.ends))}")
    server.close_channels()
    cases.check(server.start(), f"round {number}: it starts again")
    wrong = []
    for cred, serial in load.model.items():
        found = server.get(cred).priority
        if found not in (serial, load.doubt.get(cred, serial)):
            wrong.append(f"{cred}: {found}, not {serial}")
    cases.check(not wrong, f"round {number}: {load.acks} acknowledged changes are there",
                "; ".join(wrong))
    server.kill()
    return load.acks


def idle_clients():
    """Clients that keep their connections and make no call are not waited for."""
    server = sp.Server("idle", runtime="  drain_timeout: 10s")
    cases.check(server.start(), "a server with idle clients starts")
    server.create("a", "key")
    for _ in range(8):
        stub = sp.broker_pb2_grpc.BrokerServiceStub(server.new_channel())
        stub.Acquire(sp.broker.AcquireRequest(providers=["openai"]), timeout=10)
    start = time.monotonic()
    code = server.stop()
    took = time.monotonic() - start
    cases.check(code == 0 and took < 5, f"8 idle clients: it ended in {took:.2f} s",
                f"exit code {code}")


idle_clients()
acks = sum(one_round(number) for number in range(ROUNDS))
print(f"{ROUNDS} stops, {acks} acknowledged changes, {ROUNDS * PARKED} parked calls, "
      f"{ROUNDS * WATCHERS} streams")
cases.finish()
