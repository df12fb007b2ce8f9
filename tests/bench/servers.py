"""Starts and stops what is measured; reads its CPU time, memory and metrics from outside."""

import glob
import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

TOKEN_BYTES = 1200


class Process:
    def __init__(self, command, log):
        self.log = open(log, "ab")  # pylint: disable=consider-using-with
        self.child = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.pid = self.child.pid

    def cpu_seconds(self):
        """Of all threads alive; nanosecond accurate where the kernel keeps schedstats."""
        total = 0
        for path in glob.glob(f"/proc/{self.pid}/task/*/schedstat"):
            with open(path, encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total / 1e9

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) * 1024

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Broker(Process):
    """The real server with its embedded store, in a folder of its own. `extra`: more YAML."""

    def __init__(self, context, folder, extra=""):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.target = f"unix:{folder}/broker.sock"
        log = f"{folder}/broker.log"
        open(log, "ab").close()
        config = f"{folder}/broker.yaml"
        with open(config, "w", encoding="utf-8") as file:
            file.write(
                f"listeners:\n  data:\n    - unix_socket:\n        path: {folder}/broker.sock\n"
                f"http:\n  address: 127.0.0.1:0\n"
                f"store:\n  sqlite:\n    path: {folder}/broker.db\n"
                f"keyring:\n  path: {folder}/keyring\n  create: true\n"
                f"groups:\n  - name: default\nlog:\n  level: info\n{extra}")
        self.began = time.monotonic()
        self._log_from = os.path.getsize(log)
        super().__init__([context.program("credbroker"), "--config", config], log)
        self.http = self._http_address(log)
        self.ready_seconds = self._wait_ready()

    def _http_address(self, log):
        while time.monotonic() < self.began + 60:
            with open(log, encoding="utf-8", errors="replace") as file:
                file.seek(self._log_from)
                found = re.search(r"127\.0\.0\.1:([1-9][0-9]*)", file.read())
            if found:
                return "http://" + found.group(0)
            if self.child.poll() is not None:
                raise RuntimeError(f"the server ended: see {log}")
            time.sleep(0.002)
        raise RuntimeError(f"no HTTP address in {log}")

    def _wait_ready(self):
        while time.monotonic() < self.began + 60:
            try:
                with urllib.request.urlopen(self.http + "/readyz", timeout=5) as answer:
                    if answer.status == 200:
                        return time.monotonic() - self.began
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.005)
        raise RuntimeError("the server did not become ready")

    def metric(self, name):
        """The sum of all series of a counter or gauge, or the one whose labels are given."""
        with urllib.request.urlopen(self.http + "/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if re.match(re.escape(name) + r"( |{)", line))


def call(context, program, *arguments):
    """Runs a client; its one line of JSON."""
    command = [context.program(program), *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def start(context, program, *arguments):
    """The same without waiting; see finish."""
    command = [context.program(program), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def finish(child, now=False):
    """Waits for its end, which a load_client told to end `now` comes to at once."""
    if now:
        child.terminate()
    out, _ = child.communicate()
    if child.returncode != 0:
        raise RuntimeError(f"{child.args[0]} failed")
    return json.loads(out)


def load(context, server, mode, in_flight, seconds):
    """load_client on a server, with the server's CPU time a call."""
    before = server.cpu_seconds()
    result = call(context, "load_client", "--target", server.target, "--mode", mode,
                  "--in-flight", in_flight, "--seconds", seconds)
    result["cpu_us"] = 1e6 * (server.cpu_seconds() - before) / result["all_calls"]
    return result
