"""What Envoy and report.lua would send. Envoy itself is not run: deploy/envoy/README.md."""
import json
import subprocess

import fixture
import proxies
import web


class EnvoysForm(fixture.SidecarCase):
    """Requests as Envoy's HTTP authorization client sends them, and the bodies of report.lua."""
    sidecar_extra = 'forward_auth: {allow_status: 200, explicit_requests: false}\n'

    def test_the_original_path_comes_behind_lease_with_its_query(self):
        self.create('a', maxInFlight=3)
        for method in ('GET', 'POST', 'PUT', 'PATCH', 'DELETE'):
            answer = web.request(
                self.sidecar.http, method, f'/lease{self.path}?beta=true&provider=x',
                {'Content-Length': '0', 'X-Forwarded-Proto': 'https'})
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers['authorization'], 'Bearer key-a')
            body = self.report_lua(answer.headers['x-credbroker-lease'], '200', 'true', {})
            self.assertEqual(self.post(body)['disposition'], 'accepted')
        self.idle('a')

    def test_the_lua_filters_reports_are_taken(self):
        for name in ('a', 'b'):
            self.create(name, maxInFlight=3)
        held = {}
        for _ in range(2):
            answer = web.request(self.sidecar.http, path=f'/lease{self.path}')
            held[answer.headers['authorization']] = answer.headers['x-credbroker-lease']
        body = self.report_lua(held['Bearer key-a'], '429', 'true', {'retry-after': '60"\\\n}'})
        self.assertEqual(self.post(body)['disposition'], 'accepted')
        self.wait_for_state('a', 'WAITING')
        body = self.report_lua(held['Bearer key-b'], '503', 'false', {})
        self.assertEqual(self.post(body)['disposition'], 'accepted')
        self.idle('b')
        self.unpenalised('b')
        # A refusal: 429 goes through Envoy as it is.
        self.call('AdminService.Disable', id=self.name('b'))
        answer = web.request(self.sidecar.http, path=f'/lease{self.path}')
        self.assertEqual(answer.status, 429)
        self.assertGreater(int(answer.headers['retry-after']), 50)

    def post(self, body):
        answer = web.request(self.sidecar.http, 'POST', '/report', body=body)
        self.assertEqual(answer.status, 200, answer)
        return answer.json()['results'][0]

    def report_lua(self, lease, status, from_upstream, headers):
        table = ','.join(f'[{json.dumps(name)}]={json.dumps(value)}'
                         for name, value in headers.items())
        script = (f'dofile("{proxies.DEPLOY}/envoy/report.lua"); local h = {{{table}}}; '
                  f'io.write(report_body("{lease}", "{status}", {from_upstream}, '
                  'function(name) return h[name] end))')
        done = subprocess.run(['lua5.1', '-e', script], capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout
