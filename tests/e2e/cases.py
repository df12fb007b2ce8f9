"""What the test cases share: a broker for a class, a client for a class, small verbs."""
import base64
import itertools
import time
import unittest

import broker as broker_module
import clients

_numbers = itertools.count(1)


def secret(text):
    """bytes in JSON."""
    return base64.b64encode(text.encode()).decode()


class BrokerCase(unittest.TestCase):
    """One broker and one client for the tests of a class. Each test takes a provider of its own, so
    that no test sees another's credentials, budgets or breakers."""
    Client = clients.PythonClient
    extra = ''

    @classmethod
    def setUpClass(cls):
        cls.broker = broker_module.Broker(cls.extra)
        cls.broker.__enter__()
        cls.addClassCleanup(cls.broker.__exit__)
        cls.client = cls.Client(cls.broker)
        cls.addClassCleanup(cls.client.close)

    def setUp(self):
        self.provider = f'p{next(_numbers)}'

    def call(self, method, **request):
        return self.client.call(method, request)

    def create(self, name, oauth=False, **fields):
        material = {'accessToken': secret('token-' + name)} if oauth else {
            'apiKey': secret('key-' + name)}
        return self.call('AdminService.CreateCredential', secret=material, credential={
            'id': f'{self.provider}/{name}', 'provider': self.provider, **fields})

    def name(self, name):
        return f'{self.provider}/{name}'

    def acquire(self, **more):
        return self.call('BrokerService.Acquire', **{'providers': [self.provider],
                                                     'model': 'm1', **more})

    def report(self, lease, status=None, **more):
        item = {'leaseId': lease, **more}
        if status is not None:
            item['httpStatus'] = status
        return self.call('BrokerService.Report', items=[item])['results'][0]

    def fail_with(self, status, lease=None, **more):
        """Acquires, reports `status`, checks that the report was taken."""
        grant = lease or self.acquire()
        result = self.report(grant['leaseId'], status, **more)
        self.assertEqual(result['disposition'], 'REPORT_DISPOSITION_ACCEPTED')
        return result

    def get(self, name):
        return self.call('AdminService.GetCredential', id=self.name(name))

    def status(self, name):
        return self.get(name)['status']

    def assert_waits(self, result, low, high):
        """The result's recovery is low..high seconds from now."""
        self.assertEqual(result['state'], 'CREDENTIAL_STATE_WAITING')
        left = clients.moment(result['nextRecoverTime']) - time.time()
        self.assertTrue(low <= left <= high, f'{left} s is not in {low}..{high}')

    def refused(self, code, reason, run, *args, **kwargs):
        """Runs and returns the RpcError it must raise."""
        with self.assertRaises(clients.RpcError) as caught:
            run(*args, **kwargs)
        error = caught.exception
        self.assertEqual((error.code, error.reason), (code, reason), str(error))
        self.assertEqual(error.domain, 'credbroker')
        return error
