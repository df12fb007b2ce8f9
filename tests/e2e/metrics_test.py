"""/metrics: clean, and bounded whatever callers invent."""
import subprocess

import cases
import clients

CHURN = 10000
MODELS = 100000
# What a server may grow by while it sees all of these.
GROWTH_BYTES = 64 << 20


class Metrics(cases.BrokerCase):
    extra = 'limits: {max_ended_leases: 4096}\n'

    def series(self):
        return set(self.broker.metrics())

    def test_promtool_is_content(self):
        self.create('a')
        self.report(self.acquire()['leaseId'], 429)
        text = self.broker.get('/metrics')[1]
        done = subprocess.run(['promtool', 'check', 'metrics', '--extended'], input=text,
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stderr, '')

    def test_reports_and_backoffs_are_counted_as_what_they_were(self):
        self.create('a')
        lease = self.acquire()['leaseId']
        before = self.broker.metrics()
        self.report(lease, 529)
        self.report(lease, 529)
        grown = {name for name, value in self.broker.metrics().items()
                 if value == before.get(name, 0) + 1}
        # A provider that the configuration does not name is one of the others.
        for disposition in ('accepted', 'duplicate'):
            self.assertIn('credbroker_reports_total{provider="other",outcome="overloaded",'
                          f'disposition="{disposition}"}}', grown)
        self.assertIn('credbroker_backoffs_started_total{provider="other"}', grown)

    def churn(self, round_number, count):
        keys = '\n'.join(f'sk-{round_number}-{i}' for i in range(count))
        answer = self.client.import_files(
            {'source': f'churn{round_number}', 'provider': 'churn', 'keyPerLine': True,
             'maxResults': 1}, {'keys.txt': keys.encode()})
        self.assertEqual(answer['createdCount'], str(count))
        chosen = {'filter': f'source = churn{round_number}', 'expectedCount': str(count)}
        answer = self.call('AdminService.BatchUpdate', filter=chosen, operations=[{'delete': {}}])
        self.assertEqual(answer['okCount'], str(count))

    def test_10000_credentials_that_come_and_go_add_no_series(self):
        self.churn(0, 10)
        before = self.series()
        for i in range(1, 11):
            self.churn(i, CHURN // 10)
        self.assertEqual(self.series(), before)

    def test_100000_invented_model_names_add_no_series_and_no_memory(self):
        self.call('AdminService.CreateCredential', secret={'apiKey': cases.secret('k')},
                  credential={'id': 'one', 'provider': 'churn'})
        node = clients.NodeClient(self.broker, f'unix:{self.broker.socket}')
        self.addCleanup(node.close)
        self.addCleanup(self.call, 'AdminService.DeleteCredential', id='one')
        node.order('models', timeout=300, count=10000, in_flight=64)
        before, memory = self.series(), self.broker.rss()
        codes = node.order('models', timeout=600, count=MODELS, in_flight=64)
        self.assertEqual(codes, {'OK': MODELS})
        self.assertEqual(self.series(), before)
        grown = self.broker.rss() - memory
        print(f'        {MODELS} invented model names: {len(before)} series before and after, '
              f'resident memory {grown / 1e6:+.1f} MB')
        self.assertLess(grown, GROWTH_BYTES)
