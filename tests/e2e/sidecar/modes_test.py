"""What the sidecar does while the broker is away, by route; and shadow routes."""
import hashlib
import signal
import subprocess
import unittest

import fixture
import proxies
import sidecar as sidecar_module
from broker import until


def lease_headers(answer):
    return {name for name in answer.headers if name in ('authorization', 'x-credbroker-lease')}


class WhenAway(fixture.SidecarCase):
    """One broker that is killed and started again; a route of each mode."""

    MODES = {'closed': {'when_away': 'fail-closed'},
             'last': {'when_away': 'serve-last', 'serve_last_max': 2},
             'bypass': {'when_away': 'bypass'}}

    @classmethod
    def configuration(cls):
        out = 'routes:\n'
        for name, fields in cls.MODES.items():
            out += sidecar_module.routes([name], timeout='300ms', **fields).replace('routes:\n', '')
        return out

    def ask(self, provider, headers=None):
        return self.sidecar.lease(f'/{provider}/v1', headers)

    def new(self, name, provider, **fields):
        self.provider = provider
        return self.create(name, **fields)

    def cut(self):
        self.broker.process.kill()
        self.broker.process.wait()
        until('cut', lambda: self.ask('closed').status == 503, 6)

    def test_each_route_does_as_it_was_told(self):
        self.new('a', 'closed')
        self.new('b', 'last')
        self.new('capped', 'last', maxInFlight=3, priority=-1)
        self.new('c', 'bypass')
        # What is to be served later must have been served before.
        for provider in self.MODES:
            answer = self.ask(provider)
            self.assertEqual((answer.status, answer.headers['x-credbroker-mode']), (204, 'lease'))
            self.assertEqual(self.sidecar.report({'lease': answer.headers['x-credbroker-lease'],
                                                  'status': 200}).status, 200)
        proxy = self.enter(proxies.Nginx(self.sidecar, self.upstream))
        self.cut()

        answer = self.ask('closed')
        self.assertEqual((answer.status, lease_headers(answer)), (503, set()))
        self.assertIn('retry-after', answer.headers)
        self.assertEqual(answer.headers['x-credbroker-reason'], 'BROKER_AWAY')

        held = []
        for _ in range(2):
            answer = self.ask('last')
            self.assertEqual((answer.status, answer.headers['x-credbroker-mode'],
                              answer.headers['authorization']), (204, 'last', 'Bearer key-b'))
            held.append(answer.headers['x-credbroker-lease'])
        # serve_last_max, and never the capped one.
        self.assertEqual(self.ask('last').status, 503)
        self.assertEqual(self.sidecar.report({'lease': held[0], 'status': 200}).status, 200)
        self.assertEqual(self.ask('last').headers['authorization'], 'Bearer key-b')

        answer = self.ask('bypass', {'Authorization': 'Bearer own'})
        self.assertEqual((answer.status, answer.headers['x-credbroker-mode'],
                          lease_headers(answer)), (204, 'bypass', set()))
        # And what a proxy makes of it.
        own = {'Authorization': 'Bearer own', 'X-Api-Key': 'own too'}
        self.assertEqual(proxy.request('/bypass/v1', headers=own).status, 200)
        seen = dict(self.upstream.seen[-1].headers)
        self.assertEqual((seen['authorization'], seen['x-api-key']), ('Bearer own', 'own too'))
        answer = proxy.request('/closed/v1', headers=own)
        self.assertEqual((answer.status, len(self.upstream.seen)), (503, 1))
        self.assertIn('retry-after', answer.headers)

        # A failure seen while away counts at once, before the broker knows of it.
        self.assertEqual(self.sidecar.report({'lease': held[1], 'status': 429,
                                              'headers': {'retry-after': '600'}}).status, 200)
        self.assertEqual(self.ask('last').status, 503)

        self.broker.start()
        self.client = self.Client(self.broker)
        self.addCleanup(self.client.close)
        type(self).client = self.client
        until('served again', lambda: self.ask('closed').status == 204, 10)
        self.provider = 'last'
        # ... and the broker learns of it when it is back.
        status = self.wait_for_state('b', 'WAITING', 10)
        self.assertTrue(580 < fixture.recover_seconds(status) <= 600)
        metrics = self.sidecar.metrics()
        for route, result in (('closed', 'refused_away'), ('last', 'served_last'),
                              ('bypass', 'bypass')):
            name = (f'credbroker_sidecar_acquisitions_total{{face="http",route="{route}",'
                    f'result="{result}"}}')
            self.assertGreater(metrics[name], 0, name)


class Shadow(fixture.SidecarCase):
    routes_extra = {'shadow': 'true', 'shadow_fingerprint_header': 'X-Fingerprint'}

    def decisions(self):
        metrics = self.sidecar.metrics()
        series = 'credbroker_sidecar_shadow_decisions_total{route="%s",result="%s"}'
        return {result: metrics[series % (self.provider, result)]
                for result in ('same', 'different', 'absent', 'refused')}

    def test_it_decides_counts_and_hands_out_nothing(self):
        self.create('a')
        same = hashlib.sha256(b'key-a').hexdigest()
        for headers in ({'X-Fingerprint': same}, {'X-Fingerprint': '0' * 64}, {}):
            answer = self.lease(headers=headers)
            self.assertEqual((answer.status, answer.headers['x-credbroker-mode'],
                              lease_headers(answer)), (204, 'shadow', set()))
            self.assertNotIn('key-a', str(answer))
        self.call('AdminService.Disable', id=self.name('a'))
        until('refused in the shadow', lambda: self.lease().status == 204 and
              self.decisions()['refused'] > 0)
        self.assertEqual([self.decisions()[each] for each in ('same', 'different')], [1, 1])
        self.assertGreaterEqual(self.decisions()['absent'], 1)


class GracefulStop(fixture.SidecarCase):
    routes_extra = {'stock': 32, 'stock_models': '[m1]'}
    providers = ('stocked', 'capped')

    def test_it_returns_its_leases_at_once(self):
        names = []
        for self.provider, fields in (('stocked', {}), ('capped', {'maxInFlight': 3})):
            self.create('a', **fields)
            names.append(self.name('a'))
        self.assertEqual([self.sidecar.lease(f'/{each}/v1').status for each in self.providers * 3],
                         [204] * 6)

        def in_flight():
            return sum(self.call('AdminService.GetCredential', id=name)['status'].get('inFlight', 0)
                       for name in names)

        until('some in stock', lambda: in_flight() > 6)
        self.sidecar.signal(signal.SIGTERM)
        self.assertEqual(self.sidecar.process.wait(10), 0)
        # Long before ttl and grace could have freed them.
        until('all returned', lambda: in_flight() == 0, 0.5)
        self.assertFalse(self.sidecar.http.exists())


class Examples(unittest.TestCase):
    """The configurations beside the proxies' are taken by the program."""

    def test_each_is_a_good_configuration(self):
        for name in ('nginx', 'caddy', 'envoy'):
            done = subprocess.run(
                [sidecar_module.PROGRAM, '--check-config', '--config',
                 proxies.DEPLOY / name / 'sidecar.yaml'],
                capture_output=True, text=True, timeout=20)
            self.assertEqual(done.returncode, 0, done.stderr)
