"""The examples of deploy/examples, against the real broker and a scripted upstream."""
import os
import pathlib
import socket
import subprocess
import sys
import time

import broker as broker_module
import cases
import clients
import upstream as upstream_module
from upstream import Answer

EXAMPLES = broker_module.REPO / 'deploy/examples'
BUILT = pathlib.Path(os.environ['CREDBROKER_EXAMPLES'])


class Examples(cases.BrokerCase):
    """Each language acquires, calls, reports."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream = upstream_module.Upstream()
        cls.upstream.__enter__()
        cls.addClassCleanup(cls.upstream.__exit__)

    def setUp(self):
        super().setUp()
        self.upstream.forget()

    def run_example(self, command, url=None, **env):
        target = f'unix:{self.broker.socket}'
        done = subprocess.run(
            [*command, target, self.provider, 'm1', url or f'http://{self.upstream.address}/v1'],
            capture_output=True, text=True, timeout=60, env={**os.environ, **env})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.split()

    def check(self, command, **env):
        for name in ('a', 'b'):
            self.create(name)
        self.upstream.answer('key-a', Answer(), Answer(429, {'Retry-After': '600'}))
        # Round robin: a, b, a.
        for wanted in ('a 200', 'b 200', 'a 429'):
            name, status = wanted.split()
            answer = self.run_example(command, **env)
            advice = 'ADVICE_NONE' if status == '200' else 'ADVICE_RETRY_OTHER'
            self.assertEqual(answer, [self.name(name), status, advice])
        self.assertEqual(self.upstream.tokens(), ['key-a', 'key-b', 'key-a'])
        status = self.status('a')
        self.assertEqual(status['state'], 'CREDENTIAL_STATE_WAITING')
        left = clients.moment(status['nextRecoverTime']) - time.time()
        self.assertTrue(500 < left <= 600, left)

        # A port that is taken and where nobody listens: the network's fault, nobody's penalty.
        with socket.socket() as deaf:
            deaf.bind(('127.0.0.1', 0))
            url = 'http://127.0.0.1:%d/' % deaf.getsockname()[1]
            answer = self.run_example(command, url=url, **env)
        self.assertEqual(answer[:3], [self.name('b'), 'no', 'answer'])
        self.assertEqual(self.status('b')['state'], 'CREDENTIAL_STATE_AVAILABLE')
        self.assertEqual(self.status('b').get('inFlight', 0), 0)

    def test_python_acquires_calls_and_reports(self):
        self.check([sys.executable, str(EXAMPLES / 'python/call.py')],
                   PYTHONPATH=str(BUILT / 'python'), PYTHONDONTWRITEBYTECODE='1')

    def test_node_acquires_calls_and_reports(self):
        self.check(['node', str(EXAMPLES / 'node/call.js')],
                   NODE_PATH=os.environ['CREDBROKER_NODE'] + '/node_modules')

    def test_go_acquires_calls_and_reports(self):
        self.check([str(BUILT / 'call')])
