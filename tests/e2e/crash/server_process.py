"""The real server as a child process: started, stopped, killed, and called over its unix socket.

Needs CREDBROKER_BINARY (the server) and CREDBROKER_SCRATCH (a folder; has stubs/ and shim.so, which
prepare.sh makes there).
"""
import atexit
import http.client
import json
import mmap
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time

SCRATCH = os.environ["CREDBROKER_SCRATCH"]
BINARY = os.environ["CREDBROKER_BINARY"]
STUBS = os.path.join(SCRATCH, "stubs")
sys.path.insert(0, STUBS)
import google  # noqa: E402

google.__path__.append(os.path.join(STUBS, "google"))
import grpc  # noqa: E402
from credbroker.v1 import admin_pb2 as admin  # noqa: E402
from credbroker.v1 import admin_pb2_grpc  # noqa: E402
from credbroker.v1 import batch_pb2 as batch  # noqa: E402,F401 (for its users)
from credbroker.v1 import lease_pb2 as broker  # noqa: E402
from credbroker.v1 import broker_pb2_grpc  # noqa: E402
from credbroker.v1 import stats_pb2 as stats  # noqa: E402
from credbroker.v1 import transfer_pb2 as transfer  # noqa: E402,F401
from credbroker.v1 import types_pb2 as types  # noqa: E402
from google.rpc import error_details_pb2, status_pb2  # noqa: E402

AVAILABLE = types.CREDENTIAL_STATE_AVAILABLE
WAITING = types.CREDENTIAL_STATE_WAITING
DISABLED = types.CREDENTIAL_STATE_DISABLED

# The same order as struct Words in shim.c.
SHIM_WORDS = ["clock_shift_ns", "sync_delay_ms", "write_delay_ms", "hang", "sync_errno",
              "write_errno", "kill_point", "kill_countdown", "syncs", "writes", "clock_reads"]
KILL_POINTS = {"received": 1, "before write": 2, "torn write": 3, "before sync": 4,
               "after sync": 5, "before reply": 6, "after reply": 7, "checkpoint write": 8}


class Shim:
    """The words the preloaded library obeys."""

    def __init__(self, path):
        with open(path, "wb") as file:
            file.write(bytes(8 * len(SHIM_WORDS)))
        self.path = path
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def __setitem__(self, name, value):
        struct.pack_into("<q", self._map, 8 * SHIM_WORDS.index(name), value)

    def __getitem__(self, name):
        return struct.unpack_from("<q", self._map, 8 * SHIM_WORDS.index(name))[0]

    def clear(self):
        for name in SHIM_WORDS:
            self[name] = 0

    def kill_at(self, point, nth):
        self["kill_countdown"] = nth
        self["kill_point"] = KILL_POINTS[point]


STARTED = []


@atexit.register
def kill_what_is_left():
    for process in STARTED:
        if process.poll() is None:
            process.kill()


class Server:
    """One server and its folder. Calls: .broker and .admin (stubs of a channel that is new with
    each start)."""

    def __init__(self, name, store_folder=None, runtime="", groups="", limits=""):
        self.folder = tempfile.mkdtemp(prefix=name + "-", dir=SCRATCH)
        self.store = os.path.join(store_folder or self.folder, "credbroker.db")
        self.socket = os.path.join(self.folder, "s")
        self.log_path = os.path.join(self.folder, "log")
        self.config = os.path.join(self.folder, "config.yaml")
        self.shim = Shim(os.path.join(self.folder, "shim"))
        self.process = None
        self.channels = []
        keyring = os.path.join(self.folder, "keyring")
        subprocess.run([BINARY, "--init-keyring", keyring], check=True, timeout=60)
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f"""listeners:
  data:
    - unix_socket: {{path: "{self.socket}"}}
http: {{address: "127.0.0.1:0"}}
store:
  sqlite: {{path: "{self.store}"}}
keyring: {{path: "{keyring}"}}
runtime:
{runtime or "  watchdog: {enabled: false}"}
{limits}
{groups}
""")

    def spawn(self):
        """Starts the process and waits for nothing."""
        self.shim.clear()
        env = dict(os.environ, LD_PRELOAD=os.path.join(SCRATCH, "shim.so"),
                   CREDBROKER_SHIM=self.shim.path)
        self.log_from = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([BINARY, "--config", self.config], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, env=env)
        STARTED.append(self.process)

    def start(self, patience=60):
        """Starts and waits until it serves. False: it ended by itself."""
        self.spawn()
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if '"gRPC is served"' in self.log():
                self.connect()
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.01)
        raise RuntimeError(f"the server did not start; log: {self.log()[-2000:]}")

    def connect(self):
        self.channel = self.new_channel()
        self.broker = broker_pb2_grpc.BrokerServiceStub(self.channel)
        self.admin = admin_pb2_grpc.AdminServiceStub(self.channel)

    def new_channel(self):
        channel = grpc.insecure_channel("unix:" + self.socket, options=[
            ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)])
        self.channels.append(channel)
        return channel

    def log(self):
        """What it logged since its last start."""
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            file.seek(self.log_from)
            return file.read()

    def close_channels(self):
        for channel in self.channels:
            channel.close()
        self.channels = []

    def kill(self):
        """kill -9, or waits for a process that kills itself."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.close_channels()

    def stop(self, patience=30):
        """SIGTERM; the exit code. Clients keep their idle connections: a server must not wait for them."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(patience)
        self.close_channels()
        return code

    def http_port(self):
        found = re.search(r'"http is served".*?127\.0\.0\.1:(\d+)', self.log())
        return int(found.group(1))

    def http_get(self, path, port=None):
        """(status, body); status 0: nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.http_port(), timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def metric(self, name):
        """The sum of a metric's series."""
        _, body = self.http_get("/metrics")
        values = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", body, re.MULTILINE)
        return sum(float(value) for value in values)

    def create(self, cred, key, **fields):
        return self.admin.CreateCredential(admin.CreateCredentialRequest(
            credential=dict(id=cred, provider="openai", **fields),
            secret=dict(api_key=key.encode())), timeout=30)

    def pin(self, cred, **fields):
        return self.broker.Acquire(broker.AcquireRequest(
            providers=["openai"], credential_id=cred, **fields), timeout=10)

    def get(self, cred):
        return self.admin.GetCredential(admin.GetCredentialRequest(id=cred), timeout=10)

    def list_all(self):
        """id -> Credential, of all states."""
        found, token = {}, ""
        while True:
            page = self.admin.ListCredentials(admin.ListCredentialsRequest(
                page_size=1000, page_token=token, state=types.STATE_FILTER_ALL), timeout=30)
            found.update((c.id, c) for c in page.credentials)
            token = page.next_page_token
            if not token:
                return found

    def report(self, lease, status, retry_after=None):
        headers = []
        if retry_after is not None:
            headers = [types.Header(name="retry-after", value=str(retry_after).encode())]
        item = dict(lease_id=lease, http_status=status, headers=headers)
        return self.broker.Report(broker.ReportRequest(**{REPORTS: [item]}), timeout=10).results[0]

    def stats(self):
        return self.admin.GetStats(stats.GetStatsRequest(), timeout=10)


# The repeated field of a ReportRequest.
REPORTS = broker.ReportRequest.DESCRIPTOR.fields[0].name


def key_of(grant):
    """The key a grant's headers carry."""
    for header in grant.request_headers:
        if header.name.lower() == "authorization":
            return header.value.decode().removeprefix("Bearer ")
    return None


def reason_of(error):
    """The ErrorInfo reason of a failed call; "": the broker itself did not answer."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                info = error_details_pb2.ErrorInfo()
                if detail.Is(info.DESCRIPTOR):
                    detail.Unpack(info)
                    return info.reason
    return ""


def log_lines(text):
    """The JSON lines of a log."""
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            pass
    return lines
