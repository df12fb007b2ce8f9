"""The real server in a folder of its own, and the programs around it.

Environment: CREDBROKER_BIN, the folder with credbroker and credbrokerctl.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

REPO = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get('CREDBROKER_BIN', REPO / 'build/release/bin')).resolve()
SERVER = BIN / 'credbroker'
CTL = BIN / 'credbrokerctl'

CONFIG = """\
listeners:
  data:
    - unix_socket: {{path: "{socket}"}}
    - tcp: {{address: "127.0.0.1:0", plaintext: true}}
http: {{address: "127.0.0.1:0"}}
store: {{sqlite: {{path: "{folder}/store.db"}}}}
keyring: {{path: "{folder}/keyring", create: true}}
runtime: {{reflection: true}}
log: {{level: debug}}
groups:
  - name: default
  - name: other
"""


def until(what, predicate, seconds=20.0):
    """Polls a real process: there is no virtual time outside of it."""
    end = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'after {seconds} s: not {what}')
        time.sleep(0.02)


class Broker:
    """A server; `with Broker() as broker`. `extra` is YAML appended to the configuration."""

    def __init__(self, extra='', config=None, wait='ready'):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='cb-'))
        self.socket = self.folder / 's'
        self.config = self.folder / 'config.yaml'
        self.log_path = self.folder / 'log'
        self.process = None
        self.tcp = self.http = None
        text = config if config is not None else CONFIG
        self.write_config(text.format(folder=self.folder, socket=self.socket) +
                          extra.replace('@FOLDER@', str(self.folder)))
        self._wait = wait

    def write_config(self, text):
        self.config.write_text(text)

    def __enter__(self):
        try:
            self.start(self._wait)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, wait='ready'):
        """wait: 'ready' (serves), 'live' (HTTP answers; for sealed starts)."""
        self._log = open(self.log_path, 'ab')
        self._log_start = self._log.tell()
        self.process = subprocess.Popen([SERVER, '--config', self.config], stdin=subprocess.DEVNULL,
                                        stdout=self._log, stderr=self._log)
        until('started', self._started)
        self.http = self._logged(r'"http is served".*?"address":"([^"]+)"')
        targets = re.findall(r'"target":"(127\.0\.0\.1:\d+)"', self._log_now())
        self.tcp = targets[-1] if targets else None
        if wait == 'ready':
            until('ready', lambda: self.get('/readyz')[0] == 200)

    def _log_now(self):
        with open(self.log_path, encoding='utf-8', errors='replace') as log:
            log.seek(self._log_start)
            return log.read()

    def _logged(self, pattern):
        found = re.search(pattern, self._log_now())
        return found.group(1) if found else None

    def _started(self):
        if self.process.poll() is not None:
            raise AssertionError(f'the server ended with {self.process.returncode}:\n{self.log()}')
        return '"gRPC is served"' in self._log_now() and self.socket.exists()

    def log(self):
        return self.log_path.read_text(errors='replace')

    def stop(self):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process = None
        self._log.close()
        return code

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def get(self, path):
        """(status, text) of an HTTP page."""
        try:
            with urllib.request.urlopen(f'http://{self.http}{path}', timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        """{series: value} of /metrics."""
        series = {}
        for line in self.get('/metrics')[1].splitlines():
            if line and not line.startswith('#'):
                name, value = line.rsplit(' ', 1)
                series[name] = float(value)
        return series

    def rss(self):
        """Resident bytes."""
        for line in pathlib.Path(f'/proc/{self.process.pid}/status').read_text().splitlines():
            if line.startswith('VmRSS:'):
                return int(line.split()[1]) * 1024
        raise AssertionError('no VmRSS')

    def ctl(self, *args, check=True, stdin=None):
        """Runs credbrokerctl; the finished process, or with check its standard output."""
        done = subprocess.run([CTL, '--server', f'unix:{self.socket}', *map(str, args)],
                              input=stdin, capture_output=True, text=True, timeout=120)
        if not check:
            return done
        if done.returncode != 0:
            raise AssertionError(f'credbrokerctl {args}: {done.returncode}\n{done.stderr}')
        return done.stdout

    def ctl_json(self, *args):
        return json.loads(self.ctl('-o', 'json', *args))


def run_server(*args, timeout=20):
    """Runs the server program to its end."""
    return subprocess.run([SERVER, *map(str, args)], capture_output=True, text=True,
                          timeout=timeout, stdin=subprocess.DEVNULL)
