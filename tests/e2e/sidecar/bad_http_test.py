"""Bad input to the sidecar's HTTP: refused in words, nobody gets what is not theirs."""
import json
import socket

import fixture
import proxies
import web


class BadHttp(fixture.SidecarCase):
    """The sidecar itself."""

    def setUp(self):
        super().setUp()
        self.create('a', maxInFlight=50)
        self.addCleanup(self.others_are_served)

    def others_are_served(self):
        answer = self.lease()
        self.assertEqual(answer.status, 204)
        self.report_one({'lease': answer.headers['x-credbroker-lease'], 'status': 200}, 'accepted')
        self.assertIsNone(self.sidecar.process.poll())
        self.idle('a')
        self.unpenalised('a')

    def report_one(self, item, disposition):
        answer = self.sidecar.report(item)
        self.assertEqual(answer.status, 200, answer)
        result, = answer.json()['results']
        self.assertEqual(result['disposition'], disposition)
        return result

    def raw(self, *lines, body=b'', timeout=3):
        """All statuses answered to these bytes, and the bytes."""
        head = b'\r\n'.join(each if isinstance(each, bytes) else each.encode() for each in lines)
        out = web.raw(self.sidecar.http, head + b'\r\n\r\n' + body, timeout)
        statuses = [int(part[:3]) for part in out.split(b'HTTP/1.1 ')[1:]]
        return statuses, out

    def refused(self, *lines, status=range(400, 506), **more):
        statuses, out = self.raw(*lines, **more)
        self.assertLessEqual(len(statuses), 1, out)    # nothing was smuggled in behind
        self.assertNotIn(b'key-a', out)
        self.assertNotIn(b'X-Credbroker-Lease', out)
        for each in statuses:
            self.assertIn(each, status, out)
        return statuses

    def test_smuggled_requests_are_refused_and_the_connection_is_closed(self):
        inner = f'GET /lease HTTP/1.1\r\nHost: x\r\nX-Original-URI: {self.path}\r\n\r\n'.encode()
        chunked = b'0\r\n\r\n' + inner
        for head in (
                ['Content-Length: %d' % len(chunked), 'Transfer-Encoding: chunked'],
                ['Transfer-Encoding: chunked', 'Content-Length: 4'],
                ['Content-Length: 0', 'Content-Length: %d' % len(inner)],
                ['Content-Length: 0, 5'], ['Content-Length: +0'], ['Content-Length: 0x0'],
                ['Content-Length: -1'], ['Content-Length: 18446744073709551616'],
                ['Transfer-Encoding: chunked, identity'], ['Transfer-Encoding: xchunked'],
                ['Transfer-Encoding : chunked'], ['Transfer-Encoding:\x0bchunked'],
                [' Transfer-Encoding: chunked'], ['X: y', ' Content-Length: 3']):
            with self.subTest(head=head):
                statuses = self.refused('POST /report HTTP/1.1', 'Host: x', *head, body=chunked)
                self.assertTrue(statuses, 'no word at all')

    def test_a_lease_cannot_be_had_by_a_request_within_a_request(self):
        # What asks for the lease is in the body, or behind the end, of one that is refused.
        inner = f'GET /lease HTTP/1.1\r\nHost: x\r\nX-Original-URI: {self.path}\r\n\r\n'
        asks = f'X-Original-URI: {self.path}'
        for method in ('GET', 'HEAD', 'POST'):
            for head in (
                    ['Transfer-Encoding: chunked'],
                    ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'],
                    ['Content-Length: 3', 'Content-Length: 4'], ['Content-Length: 3, 3'],
                    ['Content-Length: 3', 'Transfer-Encoding: identity'],
                    ['Content-Length: 3 4'], ['Content-Length: '], ['Content-Length: 1_0'],
                    ['X: y\nContent-Length: 3'], ['X: y\n\n' + inner], ['X: y\rContent-Length: 3'],
                    ['X: y', '\tContent-Length: 3'], ['Content-Length\t: 3']):
                with self.subTest(method=method, head=head):
                    statuses = self.refused(f'{method} /lease HTTP/1.1', 'Host: x', asks, *head,
                                            body=b'0\r\n\r\n' + inner.encode())
                    self.assertTrue(statuses, 'no word at all')
        # The same, in a request of before: nothing follows a connection that was given up.
        statuses, out = self.raw('POST /report HTTP/1.1', 'Host: x', 'Transfer-Encoding: chunked',
                                 body=b'5\r\n' + inner.encode() * 3)
        self.assertEqual(len(statuses), 1, out)
        self.assertNotIn(b'key-a', out)

    def test_what_a_connection_header_names_is_still_looked_at(self):
        # Hop by hop: whoever names the proxy's headers there does not make them go away.
        for path, status in ((self.path, 204), ('/nosuch/v1', 403)):
            answer = web.request(self.sidecar.http, path='/lease', headers={
                'X-Original-URI': path, 'Connection': 'close, X-Original-URI'})
            self.assertEqual(answer.status, status, answer)
            if status == 204:
                self.report_one({'lease': answer.headers['x-credbroker-lease'], 'status': 200},
                                'accepted')

    def test_malformed_heads_are_refused(self):
        for lines in (
                ['GET /lease\x00 HTTP/1.1', 'Host: x'],
                ['GET /lease HTTP/1.1', 'Host: x', f'X-Original-URI: {self.path}\x00'],
                ['GET /lease HTTP/1.1', 'Host: x', 'X-Orig\x00inal-URI: /'],
                ['GET  /lease HTTP/1.1', 'Host: x'], ['GET /lease HTTP/9.9', 'Host: x'],
                ['GET /lease', 'Host: x'], ['\x16\x03\x01\x02\x00\x01'],
                ['PRI * HTTP/2.0', '', 'SM'],
                ['GET /lease HTTP/1.1', 'Host: x', 'no colon'],
                ['GET /lease HTTP/1.1', 'Host: x', ': no name'],
                ['GET /' + 'x' * 70000 + ' HTTP/1.1', 'Host: x'],
                ['GET /lease HTTP/1.1', 'Host: x', 'X-Model: ' + 'x' * 70000],
                ['GET /lease HTTP/1.1', 'Host: x', *(f'X-{i}: y' for i in range(5000))],
                ['POST /report HTTP/1.1', 'Host: x', 'Content-Length: 999999999']):
            with self.subTest(head=str(lines)[:60]):
                self.refused(*lines)

    def test_nothing_of_a_request_gets_into_the_answers_head(self):
        injected = '%0d%0aX-Injected:%20yes'
        for path, headers in (
                (f'/lease?provider={self.provider}&model=m1{injected}', {}),
                (f'/lease?provider={self.provider}{injected}', {}),
                (f'/lease?provider={self.provider}&group=default{injected}', {}),
                (f'/lease?provider={self.provider}&session=s{injected}', {}),
                (f'/lease?provider={self.provider}&credential={self.name("a")}{injected}', {}),
                (f'/lease?route={injected}', {}),
                ('/lease', {'X-Original-URI': f'/nosuch{injected}'}),
                ('/lease', {'X-Original-URI': f'/{self.provider}{injected}/x'})):
            with self.subTest(path=path, headers=headers):
                answer = web.request(self.sidecar.http, path=path, headers=headers)
                self.assertNotIn('x-injected', answer.headers)
                self.assertIn(answer.status, (400, 403), answer)
                self.assertNotIn('authorization', answer.headers)

    def test_ambiguous_and_unknown_wishes_are_refused_in_words(self):
        for path, headers, status in (
                ('/lease', {'X-Original-URI': '/nosuch/v1'}, 403),
                ('/lease', {}, 403),
                ('/lease', {'X-Original-URI': self.path, 'X-Forwarded-Uri': '/nosuch/'}, 400),
                ('/lease', {'X-Original-URI': f'/x/../{self.provider}/v1'}, 400),
                ('/lease', {'X-Original-URI': f'/%2e%2e/{self.provider}/v1'}, 400),
                ('/lease', {'X-Original-URI': '%zz'}, 400),
                (f'/lease?provider={self.provider}&provider=other', {}, 400),
                ('/lease?nosuch=1', {}, 400),
                ('/lease?provider=UPPER', {}, 400),
                ('/lease?provider=nosuch', {}, 403),
                (f'/lease?provider={self.provider}&model={"x" * 300}', {}, 400),
                ('/nosuch', {}, 404)):
            with self.subTest(path=path, headers=headers):
                answer = web.request(self.sidecar.http, path=path, headers=headers)
                self.assertEqual(answer.status, status, answer)
                self.assertNotIn('authorization', answer.headers)
        statuses, out = self.raw('GET /lease HTTP/1.1', 'Host: x', 'Connection: close',
                                 f'X-Original-URI: {self.path}', 'X-Original-URI: /other')
        self.assertEqual(statuses, [400], out)

    def test_bad_reports_are_refused_by_field(self):
        lease = self.lease().headers['x-credbroker-lease']
        for body, field in (
                ('', 'JSON'), ('{', 'JSON'), ('[]', 'item'), ('[' * 2000, 'JSON'),
                ('{"lease": 5}', 'lease'), ('{"status": 200}', 'lease'),
                (json.dumps({'lease': lease, 'status': 99}), 'status'),
                (json.dumps({'lease': lease, 'status': 'x'}), 'status'),
                (json.dumps({'lease': lease}), 'outcome'),
                (json.dumps({'lease': lease, 'outcome': 'nosuch'}), 'outcome'),
                (json.dumps({'lease': lease, 'status': 200, 'nosuch': 1}), 'unknown field'),
                (json.dumps({'lease': lease, 'status': 200, 'headers': 7}), 'headers'),
                (json.dumps({'items': []}), 'items'),
                (json.dumps({'items': [{'lease': lease, 'status': 200}] * 257}), 'items'),
                (json.dumps({'items': [{'lease': lease, 'status': 200},
                                       {'lease': lease, 'status': 9}]}), 'items[1]')):
            with self.subTest(body=body[:60]):
                answer = web.request(self.sidecar.http, 'POST', '/report', body=body)
                self.assertEqual(answer.status, 400, answer)
                self.assertIn(field, answer.body.decode())
                self.assertNotIn(lease, answer.body.decode())
        self.assertEqual(self.refused('POST /report HTTP/1.1', 'Host: x',
                                      f'Content-Length: {8 << 20}', body=b'x' * (8 << 20)), [413])
        self.assertIn(web.request(self.sidecar.http, path='/report').status, (404, 405))
        self.report_one({'lease': lease, 'status': 200}, 'accepted')

    def test_unknown_repeated_and_forged_leases_change_nothing(self):
        lease = self.lease().headers['x-credbroker-lease']
        flipped = ('A' if lease[-1] != 'A' else 'B')
        for forged in ('nosuch', 'x' * 5000, lease[:-1] + flipped, lease + 'A', lease[:-1],
                       lease.upper() if lease != lease.upper() else lease.lower(), '\u0000', '%s%n',
                       '18446744073709551615', '-1'):
            with self.subTest(lease=forged[:40]):
                self.report_one({'lease': forged, 'status': 401}, 'unknown')
        self.assertEqual(self.in_flight('a'), 1)
        self.report_one({'lease': lease, 'status': 200}, 'accepted')
        self.report_one({'lease': lease, 'status': 401}, 'duplicate')

    def test_bad_log_lines_change_nothing(self):
        lease = self.lease().headers['x-credbroker-lease']
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as plug:
            plug.connect(str(self.sidecar.access))
            for line in (b'', b'\0', b'\xff' * 100, b'{', b'<999>{}', b'<190>x: nothing',
                         b'[' * 5000, b'{"lease":"nosuch","status":"401"}',
                         b'{"lease":{},"status":"401"}', b'{"lease":"' + lease.encode() + b'"}x',
                         b'{"lease":"' + lease.encode() + b'","status":"999"}',
                         # What a client sent is no lease of this call.
                         b'{"user_id":"","status":401,"resp_headers":{},"request":{"headers":'
                         b'{"X-Credbroker-Lease":["' + lease.encode() + b'"]}}}',
                         b'{"lease":"","status":"401","upstream_status":"401"}',
                         b'x' * 65000):
                plug.send(line)
        self.assertEqual(self.in_flight('a'), 1)
        self.report_one({'lease': lease, 'status': 200}, 'accepted')

    def test_many_that_say_nothing_do_not_keep_others_out(self):
        idle = []
        for _ in range(200):
            plug = socket.socket(socket.AF_UNIX)
            plug.settimeout(2)
            plug.connect(str(self.sidecar.http))
            plug.send(b'GET /lease HT')
            idle.append(plug)
        self.others_are_served()
        for plug in idle:
            plug.close()


class ThroughProxies(fixture.SidecarCase):
    """What a hostile client can do through nginx and Caddy: nothing but be refused."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.proxies = [cls.enter(kind(cls.sidecar, cls.upstream))
                       for kind in (proxies.Nginx, proxies.Caddy)]

    def test_a_client_cannot_say_what_is_leased(self):
        self.create('a', maxInFlight=50)
        other = f'other-{self.provider}'
        self.call('AdminService.CreateCredential', secret={'apiKey': 'b3RoZXI='},
                  credential={'id': other, 'provider': other})
        for proxy in self.proxies:
            for path, headers in (
                    (f'{self.path}?provider={other}&credential={other}', {}),
                    (f'{self.path}?route=nosuch', {}),
                    (self.path, {'X-Original-URI': f'/{other}/'}),
                    (self.path, {'X-Forwarded-Uri': f'/{other}/', 'X-Forwarded-Host': 'other'}),
                    (self.path, {'X-Credbroker-Lease': 'forged', 'X-Credbroker-Mode': 'bypass'})):
                with self.subTest(proxy=type(proxy).__name__, path=path, headers=headers):
                    self.upstream.forget()
                    proxy.request(path, headers=headers)
                    self.assertEqual(set(self.upstream.tokens()) - {'key-a'}, set())
        self.idle('a')

    def test_split_and_smuggled_requests_reach_nobody(self):
        self.create('a', maxInFlight=50)
        inner = f'GET {self.path}/smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
        for proxy in self.proxies:
            for data in (
                    f'POST {self.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n'
                    f'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}',
                    f'POST {self.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n'
                    f'Content-Length: {len(inner)}\r\n\r\n{inner}',
                    f'GET {self.path}%0d%0aX-Injected:%20yes HTTP/1.1\r\nHost: x\r\n\r\n',
                    f'GET {self.path}\0 HTTP/1.1\r\nHost: x\r\n\r\n'):
                with self.subTest(proxy=type(proxy).__name__, data=data[:70]):
                    self.upstream.forget()
                    web.raw(proxy.socket, data.encode(), 2)
                    self.assertNotIn('x-injected', str(self.upstream.seen))
                    self.assertEqual(self.upstream.malformed, [])
                    # Behind the first request nothing is kept, or it is a request like any other,
                    # with a lease of its own.
                    self.assertEqual(set(self.upstream.tokens()) - {'key-a'}, set())
            self.assertEqual(proxy.request(self.path).status, 200)
        self.idle('a')
