"""Real nginx and Caddy, with the files of deploy/, between a client and a scripted upstream:
credentials go in by forward-auth, what happened comes back by the access log alone."""
import time

import fixture
import proxies
import web
from broker import until
from upstream import Answer


class Behind:
    """The tests of both."""
    Proxy = None
    AWAY = None     # status while the sidecar is away
    routes_extra = {'max_wait': '0s'}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.proxy = cls.enter(cls.Proxy(cls.sidecar, cls.upstream))

    def ask(self, **more):
        return self.proxy.request(self.path, **more)

    def revoked(self):
        return self.sidecar.metrics()['credbroker_sidecar_revocations_total']

    def test_the_upstream_sees_the_leased_token_and_nothing_of_the_clients_own(self):
        self.create('a', maxInFlight=2)
        answer = self.ask(method='POST', body=b'{"question": 1}', headers={
            'Authorization': 'Bearer mine', 'X-Api-Key': 'mine', 'X-Goog-Api-Key': 'mine',
            'X-Credbroker-Lease': 'forged', 'X-Model': 'm1'})
        self.assertEqual((answer.status, answer.body), (200, b'done'))
        seen = self.upstream.seen[-1]
        self.assertEqual((seen.token, seen.method, seen.path, seen.body),
                         ('key-a', 'POST', self.path, b'{"question": 1}'))
        self.assertNotIn('mine', str(seen.headers))
        names = [name for name, _ in seen.headers]
        self.assertNotIn('x-credbroker-lease', names)
        self.assertNotIn('x-api-key', names)
        self.assertEqual(names.count('authorization'), 1)
        self.assertNotIn('x-credbroker-lease', answer.headers)
        self.idle('a')
        self.unpenalised('a')
        self.assertEqual(self.status('a').get('successCount', '1'), '1')

    def test_a_429_with_retry_after_makes_it_wait_and_the_next_call_carries_another(self):
        for name in ('a', 'b'):
            self.create(name)
        self.upstream.answer('key-a', Answer(429, {'Retry-After': '600'}, b'slow down'))
        revoked = self.revoked()
        for _ in range(2):    # one of them met the limit
            answer = self.ask()
            if answer.status == 429:
                self.assertEqual(answer.headers['retry-after'], '600')
                self.assertEqual(answer.body, b'slow down')
        left = fixture.recover_seconds(self.wait_for_state('a', 'WAITING'))
        self.assertTrue(590 < left <= 600, left)
        until('the stock of it is void', lambda: self.revoked() > revoked, 5)
        self.upstream.forget()
        self.assertEqual([self.ask().status for _ in range(6)], [200] * 6)
        self.assertEqual(self.upstream.tokens(), ['key-b'] * 6)
        shown = self.broker.ctl('list', '--state', 'waiting', '--filter',
                                f'provider = "{self.provider}"')
        self.assertIn(self.name('a'), shown)
        self.assertIn('rate_limited', shown.lower())

    def test_a_401_disables_an_api_key_by_policy(self):
        for name in ('a', 'b', 'c'):
            self.create(name, maxInFlight=3)
        self.upstream.answer('key-a', Answer(401))
        for _ in range(3):
            self.ask()
        status = self.wait_for_state('a', 'DISABLED')
        self.assertEqual(status['cause'], 'CAUSE_DISABLED_BY_POLICY')
        self.upstream.forget()
        self.assertEqual([self.ask().status for _ in range(4)], [200] * 4)
        self.assertNotIn('key-a', self.upstream.tokens())

    def test_a_500_of_the_upstream_passes_and_counts_for_the_model_only(self):
        for name in ('a', 'b'):
            self.create(name, maxInFlight=3)
        self.upstream.answer('key-a', Answer(500, {}, b'its own words'))
        answers = [self.ask() for _ in range(2)]
        self.assertEqual(sorted(each.status for each in answers), [200, 500])
        self.assertIn(b'its own words', [each.body for each in answers])
        until('m1 waits', lambda: self.status('a').get('waitingModels') == ['m1'], 5)

    def test_a_broken_upstream_connection_penalises_nobody(self):
        names = ('a', 'b')    # of one alone a 5xx would not be held against it
        for name in names:
            self.create(name, maxInFlight=4)
        self.upstream.answer(None, Answer(reset='head'))
        for _ in names:
            self.assertEqual(self.ask(method='POST', body=b'{}').status, 502)
        self.idle(*names)
        self.unpenalised(*names)
        self.upstream.answer(None, Answer(reset='body', body=b'half an an'))
        got = web.raw(self.proxy.socket, f'POST {self.path} HTTP/1.1\r\nHost: x\r\n'
                      'Content-Length: 2\r\n\r\n{}'.encode(), 3)
        self.assertIn(b'200', got.split(b'\r\n')[0])
        self.assertTrue(got.endswith(b'half an an'), got)
        self.idle(*names)
        self.unpenalised(*names)
        self.assertEqual(len(self.upstream.seen), 3)    # nothing was tried twice

    def test_a_client_that_leaves_penalises_nobody_and_stops_the_upstream_call(self):
        self.create('a', maxInFlight=4)
        slow = tuple((b'data: x\n\n', 0.2) for _ in range(50))
        for answer in (Answer(delay=10), Answer(chunks=slow)):
            self.upstream.answer('key-a', answer)
            with web.connect(self.proxy.socket) as plug:
                plug.sendall(f'GET {self.path} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
                until('under way', lambda: self.upstream.now['key-a'] == 1)
                until('leased', lambda: self.in_flight('a') == 1)
                if answer.chunks:
                    plug.recv(1)
            until('stopped', lambda: self.upstream.seen[-1].aborted, 3)
            self.idle('a')
        self.unpenalised('a')

    def test_a_refusal_reaches_the_client_with_retry_after(self):
        self.create('a', maxInFlight=4)
        self.upstream.answer('key-a', Answer(429, {'Retry-After': '120'}))
        self.assertEqual(self.ask().status, 429)
        self.wait_for_state('a', 'WAITING')
        answer = self.ask()
        self.assertEqual(answer.status, 429)
        self.assertTrue(100 < int(answer.headers['retry-after']) <= 121, answer.headers)
        self.assertEqual(len(self.upstream.seen), 1)    # and never the upstream
        # What only an operator can mend is no matter of waiting.
        self.call('AdminService.Disable', id=self.name('a'))
        answer = self.ask()
        self.assertEqual((answer.status, answer.headers.get('retry-after')), (403, None))
        self.assertEqual(len(self.upstream.seen), 1)

    def test_a_stream_passes_as_it_comes_and_is_reported_at_its_end(self):
        self.create('a', maxInFlight=4)
        self.upstream.answer('key-a', Answer(
            headers={'Content-Type': 'text/event-stream'},
            chunks=((b'data: 1\n\n', 0.0), (b'data: 2\n\n', 0.6), (b'data: 3\n\n', 0.6))))
        inside = []
        began = time.monotonic()
        with web.connect(self.proxy.socket) as plug:
            plug.sendall(f'GET {self.path} HTTP/1.1\r\nHost: x\r\n'
                         'Connection: close\r\n\r\n'.encode())
            arrived = {}
            while part := plug.recv(65536):
                for number in (1, 2, 3):
                    if b'data: %d' % number in part:
                        arrived[number] = time.monotonic() - began
                if len(arrived) == 2:
                    inside.append(self.in_flight('a'))
        self.assertLess(arrived[1], 0.5)
        self.assertLess(arrived[2], arrived[3] - 0.3)
        self.assertEqual(inside[:1], [1])
        self.idle('a')
        self.unpenalised('a')

    def test_reports_go_on_after_a_restart_of_the_sidecar(self):
        self.create('a', maxInFlight=4)
        self.assertEqual(self.ask().status, 200)
        self.idle('a')
        self.assertEqual(self.sidecar.stop(), 0)
        self.assertEqual(self.ask().status, self.AWAY)
        self.sidecar.start()
        # The first line to a socket that is gone may be lost with its lease; later ones are not.
        self.assertEqual(self.ask().status, 200)
        for _ in range(3):
            self.assertEqual(self.ask().status, 200)
        until('at most the first is missing', lambda: self.in_flight('a') <= 1, 5)


class NginxTest(Behind, fixture.SidecarCase):
    Proxy = proxies.Nginx
    AWAY = 503


class CaddyTest(Behind, fixture.SidecarCase):
    Proxy = proxies.Caddy
    AWAY = 502
