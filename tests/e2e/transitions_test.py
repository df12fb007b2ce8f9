"""Every transition of a credential, each from three clients nobody here wrote."""
import time

import broker as broker_module
import cases
import clients

RETRY_OTHER, GIVE_UP, NONE = 'ADVICE_RETRY_OTHER', 'ADVICE_GIVE_UP', 'ADVICE_NONE'
AVAILABLE, DISABLED = 'CREDENTIAL_STATE_AVAILABLE', 'CREDENTIAL_STATE_DISABLED'


class Transitions:
    # Of the short cooldowns, in seconds: a call of the client has to fit in well.
    SHORT = 3

    def test_a_success_leaves_it_available(self):
        self.create('a')
        grant = self.acquire()
        self.assertEqual(grant['credentialId'], self.name('a'))
        headers = grant.get('requestHeaders')
        self.assertTrue(headers, 'the grant brings headers')
        result = self.report(grant['leaseId'], 200)
        self.assertEqual((result['disposition'], result['state'], result['advice']),
                         ('REPORT_DISPOSITION_ACCEPTED', AVAILABLE, NONE))
        again = self.report(grant['leaseId'], 200)
        self.assertEqual(again['disposition'], 'REPORT_DISPOSITION_DUPLICATE')

    def test_a_429_with_a_hint_waits_for_the_hint_and_returns_by_itself(self):
        self.create('a')
        hint = {'name': 'retry-after', 'value': cases.secret(str(self.SHORT))}
        result = self.fail_with(429, headers=[hint])
        self.assert_waits(result, 0, self.SHORT + 0.1)
        self.assertEqual((result.get('cause'), result['advice']),
                         ('CAUSE_RATE_LIMITED', RETRY_OTHER))
        error = self.refused('RESOURCE_EXHAUSTED', 'COOLING', self.acquire)
        self.assertEqual(error.metadata['cause.rate_limited'], '1')
        self.assertTrue(0 < error.retry_seconds <= self.SHORT + 0.1, error.retry_seconds)
        broker_module.until('available again',
                            lambda: self.status('a')['state'] == AVAILABLE, 30)
        self.assertEqual(self.acquire()['credentialId'], self.name('a'))

    def test_a_429_with_a_long_hint_waits_15_minutes_at_most(self):
        self.create('a')
        week = [{'name': 'retry-after', 'value': cases.secret('604800')}]
        self.assert_waits(self.fail_with(429, headers=week), 890, 901)
        record = self.status('a')['availability'][0]
        self.assertGreater(clients.moment(record['avoidUntil']) - time.time(), 604000)

    def test_a_429_without_a_hint_climbs_the_ladder(self):
        self.create('a')
        result = self.fail_with(429)
        self.assert_waits(result, 0, 1.3)
        self.assertEqual(result.get('cause'), 'CAUSE_RATE_LIMITED')

    def test_a_used_up_quota_waits_half_an_hour_capped(self):
        self.create('a')
        result = self.fail_with(402)
        self.assert_waits(result, 890, 901)
        self.assertEqual((result.get('cause'), result['advice']),
                         ('CAUSE_QUOTA_EXHAUSTED', RETRY_OTHER))

    def test_a_401_disables_an_api_key(self):
        self.create('a')
        result = self.fail_with(401)
        self.assertEqual((result['state'], result.get('cause')),
                         (DISABLED, 'CAUSE_DISABLED_BY_POLICY'))
        self.assertEqual(self.status('a')['authHealth'], 'AUTH_HEALTH_DISABLED_BY_POLICY')
        self.refused('FAILED_PRECONDITION', 'ALL_DISABLED', self.acquire)
        answer = self.call('AdminService.ResetAvailability', id=self.name('a'))
        self.assertEqual(answer['credential']['status']['state'], AVAILABLE)
        self.assertTrue(self.acquire()['leaseId'])

    def test_a_401_of_a_login_nobody_refreshes_waits(self):
        self.create('a', oauth=True)
        result = self.fail_with(401)
        self.assert_waits(result, 890, 901)
        self.assertEqual((result.get('cause'), result['advice']),
                         ('CAUSE_TOKEN_REJECTED', RETRY_OTHER))
        record = self.status('a')['availability'][0]
        left = clients.moment(record['avoidUntil']) - time.time()
        self.assertTrue(1790 < left <= 1801, left)

    def test_a_403_waits(self):
        self.create('a', oauth=True)
        result = self.fail_with(403)
        self.assert_waits(result, 890, 901)
        self.assertEqual((result.get('cause'), result['advice']), ('CAUSE_FORBIDDEN', RETRY_OTHER))

    def test_a_404_waits_for_that_model_only(self):
        self.create('a')
        result = self.fail_with(404)
        self.assert_waits(result, 480, 721)
        self.assertEqual(result.get('cause'), 'CAUSE_MODEL_NOT_FOUND')
        self.assertEqual(self.status('a')['state'], AVAILABLE)
        self.assertEqual(self.status('a')['waitingModels'], ['m1'])
        self.refused('RESOURCE_EXHAUSTED', 'COOLING', self.acquire)
        self.assertTrue(self.acquire(model='m2')['leaseId'])

    def test_a_500_waits_for_seconds_but_never_benches_the_last(self):
        self.create('a')
        self.create('b')
        result = self.fail_with(500)
        self.assert_waits(result, 0, 6.1)
        self.assertEqual((result.get('cause'), result['advice']), ('CAUSE_TRANSIENT', RETRY_OTHER))
        last = self.fail_with(503)
        self.assertEqual(last['state'], AVAILABLE)

    def test_a_request_fault_penalises_nothing(self):
        self.create('a')
        result = self.fail_with(400)
        self.assertEqual((result['state'], result['advice']), (AVAILABLE, GIVE_UP))

    def test_a_cancelled_call_penalises_nothing(self):
        self.create('a')
        result = self.fail_with(None, outcome='OUTCOME_CANCELLED')
        self.assertEqual((result['state'], result['advice']), (AVAILABLE, NONE))

    def test_a_529_backs_the_provider_off_and_leaves_credentials_alone(self):
        self.create('a')
        # The backoff begins with 1 s and doubles; a client that starts a process for each call may
        # come back when it is over.
        for _ in range(5):
            self.assertEqual(self.fail_with(529)['advice'], GIVE_UP)
            try:
                self.call('BrokerService.Release', leaseId=self.acquire()['leaseId'])
            except clients.RpcError as error:
                self.assertEqual((error.code, error.reason),
                                 ('RESOURCE_EXHAUSTED', 'PROVIDER_BACKOFF'))
                self.assertIsNotNone(error.retry_seconds)
                break
        else:
            self.fail('the provider never backed off')
        self.assertEqual(self.status('a')['state'], AVAILABLE)

    def test_an_operator_disables_and_enables(self):
        self.create('a')
        answer = self.call('AdminService.Disable', id=self.name('a'), reason='rotating keys')
        self.assertEqual(answer['credential']['status']['state'], DISABLED)
        self.assertEqual(answer['credential']['intent']['reason'], 'rotating keys')
        error = self.refused('FAILED_PRECONDITION', 'ALL_DISABLED', self.acquire)
        self.assertEqual(error.metadata['cause.operator'], '1')
        self.call('AdminService.ResetAvailability', id=self.name('a'))
        self.assertEqual(self.status('a')['state'], DISABLED)  # a reset is no enable
        answer = self.call('AdminService.Enable', id=self.name('a'))
        self.assertEqual(answer['credential']['status']['state'], AVAILABLE)
        self.assertTrue(self.acquire()['leaseId'])

    def test_enable_names_what_still_keeps_it(self):
        self.create('a')
        self.fail_with(402)
        self.call('AdminService.Disable', id=self.name('a'))
        answer = self.call('AdminService.Enable', id=self.name('a'))
        self.assertEqual(answer['remainingCause'], 'CAUSE_QUOTA_EXHAUSTED')
        answer = self.call('AdminService.ResetAvailability', id=self.name('a'))
        self.assertEqual(answer['clearedRecords'], 1)
        self.assertTrue(self.acquire()['leaseId'])

    def test_disabled_until_ends_by_itself(self):
        self.create('a')
        soon = self.client.timestamp(time.time() + self.SHORT)
        self.call('AdminService.Disable', id=self.name('a'), until=soon)
        self.assertEqual(self.status('a')['state'], DISABLED)
        error = self.refused('FAILED_PRECONDITION', 'ALL_DISABLED', self.acquire)
        self.assertTrue(error.retry_seconds is None or error.retry_seconds <= self.SHORT + 0.1)
        broker_module.until('enabled by its schedule',
                            lambda: self.status('a')['state'] == AVAILABLE, 30)
        self.assertEqual(self.get('a')['intent']['actor'], 'schedule')

    def test_a_full_credential_is_busy_until_its_lease_ends(self):
        self.create('a', maxInFlight=1)
        grant = self.acquire()
        error = self.refused('RESOURCE_EXHAUSTED', 'BUSY', self.acquire)
        self.assertEqual(error.metadata['cause.busy'], '1')
        self.assertTrue(self.call('BrokerService.Release', leaseId=grant['leaseId'])['released'])
        self.assertTrue(self.acquire()['leaseId'])

    def test_unknown_names_are_told_apart(self):
        self.refused('NOT_FOUND', 'NO_SUCH_PROVIDER', self.acquire)
        self.create('a', models=['only-*'])
        self.refused('NOT_FOUND', 'NO_SUCH_MODEL', self.acquire, model='never')
        self.refused('NOT_FOUND', 'NO_SUCH_GROUP', self.acquire, group='nowhere')
        self.refused('NOT_FOUND', 'NO_SUCH_CREDENTIAL', self.acquire, credentialId='nobody',
                     model='only-1')
        error = self.refused('INVALID_ARGUMENT', 'INVALID_FIELD', self.acquire, group='No Such')
        self.assertEqual(error.fields, ['group'])

    def test_health_says_serving(self):
        self.assertEqual(self.client.health(), 'SERVING')


class PythonTransitions(Transitions, cases.BrokerCase):
    Client = clients.PythonClient

    def test_a_watch_of_health_begins_with_serving(self):
        self.assertEqual(self.client.watch(), 'SERVING')


class NodeTransitions(Transitions, cases.BrokerCase):
    Client = clients.NodeClient

    def test_a_watch_of_health_begins_with_serving(self):
        self.assertEqual(self.client.watch(), 'SERVING')

    def test_reflection_lists_the_services(self):
        self.assertLessEqual({'credbroker.v1.BrokerService', 'credbroker.v1.AdminService',
                              'grpc.health.v1.Health'}, set(self.client.services()))

    def test_a_unix_socket_serves_grpc_js(self):
        client = clients.NodeClient(self.broker, f'unix:{self.broker.socket}')
        self.addCleanup(client.close)
        self.assertEqual(client.health(), 'SERVING')


class BufTransitions(Transitions, cases.BrokerCase):
    Client = clients.BufClient
    SHORT = 8  # each call is a process

    def test_reflection_lists_the_services(self):
        self.assertLessEqual({'credbroker.v1.BrokerService', 'credbroker.v1.AdminService',
                              'grpc.health.v1.Health'}, set(self.client.services()))
