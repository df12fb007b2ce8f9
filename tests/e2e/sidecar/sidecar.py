"""The real sidecar as a child process, before a real broker."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

import broker as broker_module
import web
from broker import until

PROGRAM = broker_module.BIN / 'credbroker-sidecar'

# Short terms, so that losing a session takes seconds: freed 3 s after the last word.
SESSION_TTL, SESSION_GRACE = 2.0, 1.0
SESSIONS = 'sessions: {ttl: 2s, grace: 1s, ping_interval: 250ms, cancel_within: 500ms}\n'

CONFIG = """\
broker: {{address: "unix:{broker}"{instance}}}
grpc:
  - unix_socket: {{path: "{folder}/grpc.sock"}}
http:
  - unix_socket: {{path: "{folder}/http.sock"}}
access_log:
  unix_socket: {{path: "{folder}/access.sock"}}
  udp: "127.0.0.1:{udp}"
limits: {{drain_timeout: 0s}}
log_level: debug
"""


def routes(providers, **fields):
    """A route for each provider, for paths below its name."""
    out = 'routes:\n'
    for provider in providers:
        more = ''.join(f', {name}: {value}' for name, value in fields.items())
        out += (f'  - {{name: {provider}, match: {{path_prefix: /{provider}/}}, '
                f'providers: [{provider}], model: m1{more}}}\n')
    return out


class Sidecar:
    """`with Sidecar(broker, extra) as sidecar`; `extra` is YAML appended to the configuration."""

    def __init__(self, broker, extra='', instance=''):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='cbs-'))
        self.http = self.folder / 'http.sock'
        self.socket = self.folder / 'grpc.sock'    # as Broker's, for its clients
        self.access = self.folder / 'access.sock'
        self.log_path = self.folder / 'log'
        self.config = self.folder / 'sidecar.yaml'
        self.process = None
        # The kernel's choice, and the same again after a restart: a proxy's file names it.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plug:
            plug.bind(('127.0.0.1', 0))
            self.udp = plug.getsockname()[1]
        named = f', instance: "{instance}"' if instance else ''
        self.config.write_text(CONFIG.format(broker=broker.socket, folder=self.folder, udp=self.udp,
                                             instance=named) + extra)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def spawn(self):
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen([PROGRAM, '--config', self.config], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)

    def start(self):
        self.spawn()
        until('ready', self.ready)

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f'the sidecar ended with {self.process.returncode}:\n{self.log()}')
        try:
            return web.request(self.http, path='/readyz', timeout=2).status == 200
        except OSError:
            return False

    def log(self):
        return self.log_path.read_text(errors='replace')

    def signal(self, number):
        self.process.send_signal(number)

    def freeze(self):
        """SIGSTOP; each thread stops when it is its turn to run, which takes a while on a busy
        machine: until then it serves."""
        self.process.send_signal(signal.SIGSTOP)
        tasks = f'/proc/{self.process.pid}/task'

        def stopped(task):
            with open(f'{tasks}/{task}/stat', encoding='ascii') as stat:
                return stat.read().rpartition(')')[2].split()[0] == 'T'
        until('every thread is stopped', lambda: all(map(stopped, os.listdir(tasks))), 5)

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        """SIGTERM; the exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process = None
        return code

    def metrics(self):
        """{series: value} of /metrics."""
        series = {}
        for line in web.request(self.http, path='/metrics').body.decode().splitlines():
            if line and not line.startswith('#'):
                name, value = line.rsplit(' ', 1)
                series[name] = float(value)
        return series

    def lease(self, uri, headers=None, timeout=20):
        """GET /lease for an original request."""
        return web.request(self.http, path='/lease',
                           headers={'X-Original-URI': uri, **(headers or {})}, timeout=timeout)

    def report(self, item):
        return web.request(self.http, 'POST', '/report', {'Content-Type': 'application/json'},
                           json.dumps(item))
