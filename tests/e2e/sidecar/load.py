"""Callers that lease from sidecars, call the upstream and report; and what became of it."""
import collections
import dataclasses
import http.client
import itertools
import json
import threading
import time

import web


@dataclasses.dataclass
class Call:
    began: float        # time.monotonic()
    leased: float       # when the answer to /lease was there; 0: none came
    status: int         # of /lease; 0: no answer
    token: str          # that it named
    mode: str
    sidecar: object
    path: str
    reason: str = ''    # of a refusal


class Load:
    """`with Load(upstream, callers)`: each of `callers`, (sidecar, path), is a thread that calls as
    fast as it may until the end; `pause` seconds between calls."""

    def __init__(self, upstream, callers, pause=0.0):
        self.upstream = upstream
        self.pause = pause
        self.calls = []
        self.dispositions = collections.Counter()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=caller) for caller in callers]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, sidecar, path):
        while not self._over.is_set():
            call = once(sidecar, path, self.upstream, self.dispositions)
            self.calls.append(call)
            # A refused caller does not come back in the same instant, as no client should.
            time.sleep(self.pause if call.status == 204 else max(self.pause, 0.02))

    def statuses(self, after=0.0):
        return collections.Counter(each.status for each in self.calls if each.began >= after)


def once(sidecar, path, upstream, dispositions=None):
    """One call from lease to report."""
    began = time.monotonic()
    try:
        answer = sidecar.lease(path, timeout=10)
    except (OSError, http.client.HTTPException):
        return Call(began, 0, 0, '', '', sidecar, path)
    leased = time.monotonic()
    header = answer.headers.get('authorization', '')
    call = Call(began, leased, answer.status, header.removeprefix('Bearer '),
                answer.headers.get('x-credbroker-mode', ''), sidecar, path,
                answer.json()['error']['message'] if answer.status >= 400 else '')
    if not call.token:
        return call
    item = {'lease': answer.headers['x-credbroker-lease']}
    try:
        item['status'] = web.request(upstream.address, path=path,
                                     headers={'Authorization': header}).status
    except (OSError, http.client.HTTPException):
        item['network_error'] = 'reset'
    try:
        result, = sidecar.report(item).json()['results']
        if dispositions is not None:
            dispositions[result['disposition']] += 1
    except (OSError, http.client.HTTPException, json.JSONDecodeError):
        pass
    return call


class InFlight:
    """Samples the broker's count of live leases of credentials until the end; `most` of each."""

    def __init__(self, client_of, names):
        self.most = collections.Counter()
        self.samples = 0
        self._client_of = client_of
        self._names = names
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(30)

    def _run(self):
        for name in itertools.cycle(self._names):
            if self._over.wait(0.01):
                return
            try:
                found = self._client_of().call('AdminService.GetCredential', {'id': name}, 2)
            except Exception:  # pylint: disable=broad-except
                continue    # the broker is being restarted
            self.samples += 1
            self.most[name] = max(self.most[name], found['status'].get('inFlight', 0))
