"""credbroker-sidecar before a real broker: forward-auth, reports by HTTP and by log, gRPC, modes."""
import http.client
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import broker as broker_module
import cases
import clients
import grpc

SIDECAR = broker_module.BIN / 'credbroker-sidecar'

CONFIG = """\
broker: {{address: "{target}"}}
grpc: [{{unix_socket: {{path: "{folder}/grpc"}}}}]
http:
  - unix_socket: {{path: "{folder}/http"}}
  - loopback: "127.0.0.1:0"
access_log: {{unix_socket: {{path: "{folder}/log"}}, udp: "127.0.0.1:0"}}
limits: {{drain_timeout: 0s}}
"""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('sidecar', timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Sidecar:
    """The program; `with Sidecar(broker) as sidecar`. `extra` is YAML after the configuration."""

    def __init__(self, broker, extra=''):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='cb-'))
        self.socket = self.folder / 'grpc'
        self.tcp = None
        self.config = self.folder / 'sidecar.yaml'
        self.config.write_text(
            CONFIG.format(target=f'unix:{broker.socket}', folder=self.folder) + extra)

    def __enter__(self):
        self.log_file = open(self.folder / 'out', 'ab')
        self.process = subprocess.Popen([SIDECAR, '--config', self.config],
                                        stdin=subprocess.DEVNULL, stdout=self.log_file,
                                        stderr=self.log_file)
        broker_module.until('listening', self._listening)
        self.port = int(re.search(r'"address":"127\.0\.0\.1:(\d+)"', self.log()).group(1))
        broker_module.until('ready', lambda: self.get('/readyz')[0] == 200)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        self.log_file.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _listening(self):
        if self.process.poll() is not None:
            raise AssertionError(f'the sidecar ended with {self.process.returncode}:\n{self.log()}')
        return '"access logs are received"' in self.log()

    def log(self):
        return (self.folder / 'out').read_text(errors='replace')

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def get(self, path, headers=None, method='GET', body=None):
        """(status, headers in lower case, text), over the unix socket."""
        connection = UnixConnection(self.folder / 'http')
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text
        finally:
            connection.close()

    def report(self, **item):
        status, _, text = self.get('/report', method='POST', body=json.dumps(item))
        assert status == 200, text
        return json.loads(text)['results'][0]

    def send_line(self, **fields):
        """As nginx does."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(('<190>Nov 23 13:34:00 nginx: ' + json.dumps(fields)).encode(),
                       str(self.folder / 'log'))

    def metric(self, series):
        for line in self.get('/metrics')[2].splitlines():
            if line.startswith(series + ' '):
                return float(line.rsplit(' ', 1)[1])
        raise AssertionError(f'no {series}')


class SidecarCase(cases.BrokerCase):
    sidecar_extra = ''

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sidecar = Sidecar(cls.broker, cls.sidecar_extra)
        cls.sidecar.__enter__()
        cls.addClassCleanup(cls.sidecar.__exit__)

    def lease(self, model='m1'):
        status, headers, text = self.sidecar.get(f'/lease?provider={self.provider}&model={model}')
        self.assertEqual(status, 204, text)
        return headers

    def in_flight(self, name):
        return int(self.status(name).get('inFlight', 0))


class ForwardAuth(SidecarCase):
    def test_a_lease_comes_as_headers_and_its_report_frees_it(self):
        self.create('a')
        headers = self.lease()
        self.assertEqual(headers['authorization'], 'Bearer key-a')
        self.assertEqual(headers['x-credbroker-mode'], 'lease')
        self.assertEqual(headers['x-credbroker-credential'], self.name('a'))
        result = self.sidecar.report(lease=headers['x-credbroker-lease'], status=200)
        self.assertEqual(result['disposition'], 'accepted')
        again = self.sidecar.report(lease=headers['x-credbroker-lease'], status=200)
        self.assertEqual(again['disposition'], 'duplicate')

    def test_stock_serves_what_was_asked_for_before(self):
        for name in 'abc':
            self.create(name)
        series = 'credbroker_sidecar_acquisitions_total{face="http",route="defaults",' \
                 'result="stock"}'
        before = self.sidecar.metric(series)

        def from_stock():
            self.sidecar.report(lease=self.lease()['x-credbroker-lease'], status=200)
            return self.sidecar.metric(series) > before
        broker_module.until('served from stock', from_stock)

    def test_a_reported_429_makes_the_credential_wait(self):
        self.create('a')
        lease = self.lease()['x-credbroker-lease']
        result = self.sidecar.report(lease=lease, status=429, headers={'retry-after': '30'})
        self.assertEqual(result['advice'], 'retry-other')
        self.assertEqual(result['cause'], 'rate-limited')
        broker_module.until('waiting', lambda: self.status('a')['state'] ==
                            'CREDENTIAL_STATE_WAITING')
        status, headers, text = self.sidecar.get(f'/lease?provider={self.provider}&model=m1')
        self.assertEqual(status, 429, text)
        self.assertEqual(headers['x-credbroker-reason'], 'COOLING')
        self.assertTrue(1 <= int(headers['retry-after']) <= 30, headers)

    def test_a_log_line_reports_a_429(self):
        self.create('a')
        self.sidecar.send_line(lease=self.lease()['x-credbroker-lease'], status='429',
                               upstream_status='502, 429', retry_after='30')
        broker_module.until('waiting', lambda: self.status('a')['state'] ==
                            'CREDENTIAL_STATE_WAITING')

    def test_a_broken_connection_penalises_nobody(self):
        self.create('a')
        for _ in range(3):
            self.sidecar.send_line(lease=self.lease()['x-credbroker-lease'], status='502',
                                   upstream_status='502', upstream_header_time='-')
        self.assertEqual(self.status('a')['state'], 'CREDENTIAL_STATE_AVAILABLE')
        self.assertEqual(self.sidecar.get(
            f'/lease?provider={self.provider}&model=m1')[0], 204)

    def test_a_disabled_credential_is_refused(self):
        self.create('a')
        self.sidecar.report(lease=self.lease()['x-credbroker-lease'], status=200)
        self.call('AdminService.Disable', id=self.name('a'), reason='test')
        broker_module.until('refused', lambda: self.sidecar.get(
            f'/lease?provider={self.provider}&model=m1')[0] == 403)

    def test_malformed_requests_are_refused_and_harm_nobody(self):
        self.create('a')
        for target in ('/lease?provider=a%0d%0ab', '/lease?provider=A', '/lease?provider=a&x=1'):
            self.assertEqual(self.sidecar.get(target)[0], 400, target)
        self.lease()

    def test_metrics_are_clean(self):
        done = subprocess.run(['promtool', 'check', 'metrics', '--extended'],
                              input=self.sidecar.get('/metrics')[2], capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Grpc(SidecarCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.through = clients.PythonClient(cls.sidecar)
        cls.addClassCleanup(cls.through.close)

    def ask(self, method, **request):
        return self.through.call('BrokerService.' + method, request)

    def test_the_api_is_the_brokers(self):
        self.create('a')
        grant = self.ask('Acquire', providers=[self.provider], model='m1')
        self.assertEqual(grant['credentialId'], self.name('a'))
        self.assertTrue(grant['leaseId'].startswith('s_'))
        self.assertIn('requestHeaders', grant)
        self.ask('Renew', leaseId=grant['leaseId'], ttl='60s')
        result = self.ask('Report', items=[{'leaseId': grant['leaseId'], 'httpStatus': 404}])
        self.assertEqual(result['results'][0]['advice'], 'ADVICE_RETRY_OTHER')
        self.assertEqual(self.ask('Release', leaseId=grant['leaseId']), {})
        self.refused('NOT_FOUND', 'NO_SUCH_LEASE', self.ask, 'Renew', leaseId=grant['leaseId'])

    def test_a_request_id_gets_the_same_lease(self):
        self.create('a')
        first = self.ask('Acquire', providers=[self.provider], model='m1', requestId='r1')
        again = self.ask('Acquire', providers=[self.provider], model='m1', requestId='r1')
        self.assertEqual(first['leaseId'], again['leaseId'])
        self.refused('INVALID_ARGUMENT', 'REQUEST_ID_MISMATCH', self.ask, 'Acquire',
                     providers=[self.provider], model='m2', requestId='r1')
        self.ask('Release', leaseId=first['leaseId'])
        self.refused('ABORTED', 'REQUEST_ENDED', self.ask, 'Acquire', providers=[self.provider],
                     model='m1', requestId='r1')

    def test_a_session_is_refused_with_a_reason(self):
        with self.assertRaises(grpc.RpcError) as caught:
            next(self.through.stub['BrokerService'].Session(iter([]), timeout=10))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.assertIn('sidecar', caught.exception.details())

    def test_refusals_are_the_brokers(self):
        self.refused('NOT_FOUND', 'NO_SUCH_PROVIDER', self.ask, 'Acquire', providers=['nobody'])
        error = self.refused('INVALID_ARGUMENT', 'INVALID_FIELD', self.ask, 'Acquire',
                             providers=['Nobody'])
        self.assertEqual(error.fields, ['providers'])


class Modes(SidecarCase):
    sidecar_extra = """\
routes:
  - {name: bypass, match: {path_prefix: /bypass}, providers: [modes], when_away: bypass}
  - {name: last, match: {path_prefix: /last}, providers: [modes], when_away: serve-last}
  - {name: closed, match: {path_prefix: /closed}, providers: [modes]}
"""

    def ask(self, path):
        return self.sidecar.get('/lease', {'X-Original-URI': path})

    def test_each_route_does_what_it_says_when_the_broker_is_gone(self):
        self.provider = 'modes'
        self.create('a')
        for path in ('/bypass', '/last', '/closed'):
            status, headers, text = self.ask(path)
            self.assertEqual(status, 204, text)
            self.sidecar.report(lease=headers['x-credbroker-lease'], status=200)
        self.broker.process.send_signal(signal.SIGKILL)
        broker_module.until('lost', lambda: self.sidecar.metric(
            'credbroker_sidecar_session_state{state="lost"}') == 1, 40)
        status, headers, _ = self.ask('/bypass')
        self.assertEqual((status, headers['x-credbroker-mode']), (204, 'bypass'))
        self.assertNotIn('authorization', headers)
        status, headers, _ = self.ask('/last')
        self.assertEqual((status, headers['x-credbroker-mode']), (204, 'last'))
        self.assertEqual(headers['authorization'], 'Bearer key-a')
        status, headers, _ = self.ask('/closed')
        self.assertEqual((status, headers['x-credbroker-reason']), (503, 'BROKER_AWAY'))
        self.assertIn('retry-after', headers)


class Stopping(SidecarCase):
    def test_sigterm_gives_the_leases_back(self):
        self.create('a', maxInFlight=1)
        self.lease()
        self.assertEqual(self.in_flight('a'), 1)
        self.assertEqual(self.sidecar.stop(), 0)
        self.assertEqual(self.in_flight('a'), 0)
        self.assertFalse((self.sidecar.folder / 'http').exists())
        self.assertNotIn('key-a', self.sidecar.log())
