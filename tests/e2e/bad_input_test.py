"""Every bad request gets a clear error (code, reason, field), and nothing is half-done."""
import time

import cases

BIG = 2**31 - 1
# What a JSON client can say and may not: method, request, the field the answer names. "@" stands
# for the id of a credential that exists.
CREDENTIAL = {'id': 'x', 'provider': 'p'}
SECRET = {'apiKey': cases.secret('k')}
ACQUIRE = 'BrokerService.Acquire'
REPORT = 'BrokerService.Report'
CREATE = 'AdminService.CreateCredential'
UPDATE = 'AdminService.UpdateCredential'
LIST = 'AdminService.ListCredentials'
BATCH = 'AdminService.BatchUpdate'


def created(**fields):
    return {'credential': {**CREDENTIAL, **fields}, 'secret': SECRET}


def reported(**fields):
    return {'items': [{'leaseId': 'x', 'httpStatus': 200, **fields}]}


def batch(*operations, **more):
    return {'ids': {'ids': ['@']}, 'operations': list(operations), **more}


BAD = [
    (ACQUIRE, {}, 'providers'),
    (ACQUIRE, {'providers': ['']}, 'providers[0]'),
    (ACQUIRE, {'providers': ['p', 'p']}, 'providers'),
    (ACQUIRE, {'providers': [f'p{i}' for i in range(17)]}, 'providers'),
    (ACQUIRE, {'providers': ['No Name']}, 'providers'),
    (ACQUIRE, {'providers': ['p'], 'group': 'g' * 65}, 'group'),
    (ACQUIRE, {'providers': ['p'], 'model': 'm' * 257}, 'model'),
    (ACQUIRE, {'providers': ['p'], 'model': 'm\u0007'}, 'model'),
    (ACQUIRE, {'providers': ['p'], 'sessionKey': 's' * 257}, 'session_key'),
    (ACQUIRE, {'providers': ['p'], 'ttl': '0s'}, 'ttl'),
    (ACQUIRE, {'providers': ['p'], 'ttl': '-5s'}, 'ttl'),
    (ACQUIRE, {'providers': ['p'], 'ttl': '3601s'}, 'ttl'),
    (ACQUIRE, {'providers': ['p'], 'ttl': '315576000000s'}, 'ttl'),
    (ACQUIRE, {'providers': ['p'], 'maxWait': '-1s'}, 'max_wait'),
    (ACQUIRE, {'providers': ['p'], 'maxWait': '61s'}, 'max_wait'),
    (ACQUIRE, {'providers': ['p'], 'requestId': 'r' * 129}, 'request_id'),
    (ACQUIRE, {'providers': ['p'], 'kind': 77}, 'kind'),
    (ACQUIRE, {'providers': ['p'], 'excludedCredentialIds': ['x'] * 65},
     'excluded_credential_ids'),
    (ACQUIRE, {'providers': ['p'], 'labels': {f'k{i}': 'v' for i in range(9)}}, 'labels'),
    ('BrokerService.Renew', {}, 'lease_id'),
    ('BrokerService.Renew', {'leaseId': 'x', 'ttl': '-1s'}, 'ttl'),
    ('BrokerService.Release', {}, 'lease_id'),
    (REPORT, {}, 'items'),
    (REPORT, {'items': [{'leaseId': 'x', 'httpStatus': 200}] * 257}, 'items'),
    (REPORT, reported(leaseId=''), 'items[0].lease_id'),
    (REPORT, reported(httpStatus=99), 'items[0].http_status'),
    (REPORT, reported(httpStatus=600), 'items[0].http_status'),
    (REPORT, reported(httpStatus=-1), 'items[0].http_status'),
    (REPORT, reported(httpStatus=BIG), 'items[0].http_status'),
    (REPORT, reported(httpStatus=0), 'items[0].outcome'),
    (REPORT, reported(outcome=99), 'items[0].outcome'),
    (REPORT, reported(materialVersion='-1'), 'items[0].material_version'),
    (REPORT, reported(bodyExcerpt=cases.secret('b' * 4097)), 'items[0].body_excerpt'),
    (REPORT, reported(headers=[{'name': 'bad name', 'value': ''}]), 'items[0].headers[0].name'),
    (REPORT, reported(headers=[{'name': 'a', 'value': cases.secret('x\r\ny')}]),
     'items[0].headers[0].value'),
    (REPORT, reported(headers=[{'name': 'a', 'value': cases.secret('x' * 17000)}]),
     'items[0].headers'),
    (CREATE, {'credential': {'provider': 'p'}, 'secret': SECRET}, 'credential.id'),
    (CREATE, {'credential': {'id': 'x'}, 'secret': SECRET}, 'credential.provider'),
    (CREATE, {'credential': CREDENTIAL}, 'secret'),
    (CREATE, {'credential': CREDENTIAL, 'secret': {'apiKey': cases.secret('a\nb')}},
     'secret.api_key'),
    (CREATE, {'credential': CREDENTIAL, 'secret': {'accessToken': cases.secret('a\0b')}},
     'secret.access_token'),
    (CREATE, {'credential': CREDENTIAL, 'secret': {'serviceAccountJson': cases.secret('{')}},
     'secret.service_account_json'),
    (CREATE, created(id='/x'), 'credential.id'),
    (CREATE, created(id='x//y'), 'credential.id'),
    (CREATE, created(id='x' * 257), 'credential.id'),
    (CREATE, created(id='a\u0000b'), 'credential.id'),
    (CREATE, created(provider='Not Lower'), 'credential.provider'),
    (CREATE, created(priority=1000001), 'credential.priority'),
    (CREATE, created(priority=-BIG), 'credential.priority'),
    (CREATE, created(weight=1000001), 'credential.weight'),
    (CREATE, created(maxInFlight=-1), 'credential.max_in_flight'),
    (CREATE, created(maxInFlight=BIG), 'credential.max_in_flight'),
    (CREATE, created(maxInFlightPerModel=-1), 'credential.max_in_flight_per_model'),
    (CREATE, created(requestRetry=101), 'credential.request_retry'),
    (CREATE, created(refreshInterval='1s'), 'credential.refresh_interval'),
    (CREATE, created(prefix='a/b'), 'credential.prefix'),
    (CREATE, created(proxyUrl='ftp://proxy'), 'credential.proxy_url'),
    (CREATE, created(baseUrl='not an address'), 'credential.base_url'),
    (CREATE, created(email='e' * 321), 'credential.email'),
    (CREATE, created(headers={'bad name': 'v'}), 'credential.headers'),
    (CREATE, created(headers={'a': 'v\r\nx: y'}), 'credential.headers'),
    (CREATE, created(modelAliases=[{'alias': '', 'model': 'm'}]), 'credential.model_aliases'),
    (CREATE, created(labels={'No Key': 'v'}), 'credential.labels'),
    (UPDATE, {'credential': {'id': '@'}}, 'update_mask'),
    (UPDATE, {'credential': {'id': '@'}, 'updateMask': 'nosuch'}, 'update_mask'),
    (UPDATE, {'credential': {'id': '@'}, 'updateMask': 'status'}, 'update_mask'),
    (UPDATE, {'credential': {'id': '@', 'weight': BIG}, 'updateMask': 'weight'},
     'credential.weight'),
    ('AdminService.Disable', {}, 'id'),
    ('AdminService.Disable', {'id': '@', 'reason': 'r' * 513}, 'reason'),
    ('AdminService.Disable', {'id': '@', 'until': '1999-01-01T00:00:00Z'}, 'until'),
    ('AdminService.Enable', {}, 'id'),
    ('AdminService.GetCredential', {}, 'id'),
    ('AdminService.DeleteCredential', {}, 'id'),
    ('AdminService.ResetAvailability', {}, 'id'),
    (LIST, {'pageSize': -1}, 'page_size'),
    (LIST, {'pageSize': 1001}, 'page_size'),
    (LIST, {'filter': 'priority >'}, 'filter'),
    (LIST, {'filter': 'nosuch = 1'}, 'filter'),
    (LIST, {'filter': 'a' * 4097}, 'filter'),
    (LIST, {'orderBy': 'secret'}, 'order_by'),
    (LIST, {'state': 55}, 'state'),
    (LIST, {'pageToken': 'made up'}, 'page_token'),
    (BATCH, {}, 'selection'),
    (BATCH, {'ids': {'ids': ['@']}}, 'operations'),
    (BATCH, batch({}), 'operations[0]'),
    (BATCH, batch({'setPriority': BIG}), 'operations[0].set_priority'),
    (BATCH, batch({'setWeight': BIG}), 'operations[0].set_weight'),
    (BATCH, batch({'setPriority': 1}, {'setPriority': 2}), 'operations[1]'),
    (BATCH, batch({'delete': {}}, {'setPriority': 1}), 'operations'),
    (BATCH, {'filter': {'filter': 'priority = 0'}, 'operations': [{'setPriority': 1}]},
     'filter.expected_count'),
    (BATCH, {'filter': {'filter': 'state = waiting', 'expectedCount': '0'},
             'operations': [{'setPriority': 1}]}, 'filter'),
    ('AdminService.UndoBatch', {}, 'batch_id'),
    ('AdminService.Explain', {}, 'providers'),
    ('AdminService.TestPolicy', {}, 'provider'),
    ('AdminService.TestPolicy', {'provider': 'claude', 'httpStatus': 1}, 'http_status'),
    ('AdminService.GetStats', {'group': 'No Name'}, 'group'),
]


def replaced(value, name):
    """`value` with "@" replaced."""
    if isinstance(value, dict):
        return {key: replaced(each, name) for key, each in value.items()}
    if isinstance(value, list):
        return [replaced(each, name) for each in value]
    return name if value == '@' else value


def wire_text(number, raw):
    """A length-delimited field."""
    length = len(raw)
    out = bytes([number << 3 | 2])
    while length > 127:
        out += bytes([length & 127 | 128])
        length >>= 7
    return out + bytes([length]) + raw


class BadInput(cases.BrokerCase):
    def assert_names(self, error, field):
        said = ' '.join(error.fields)
        self.assertTrue(any(each == field or each.startswith(field) or each.endswith('.' + field)
                            for each in error.fields), f'{said!r} does not name {field}: {error}')

    def test_each_bad_field_is_named_and_changes_nothing(self):
        self.create('there')
        before = self.get('there')
        for method, request, field in BAD:
            with self.subTest(f'{method} {str(request)[:100]}'):
                with self.assertRaises(cases.clients.RpcError) as caught:
                    self.client.call(method, replaced(request, self.name('there')))
                self.assertEqual(caught.exception.code, 'INVALID_ARGUMENT', caught.exception)
                self.assert_names(caught.exception, field)
        self.assertEqual(self.get('there'), before)
        self.refused('NOT_FOUND', 'NO_SUCH_CREDENTIAL', self.call, 'AdminService.GetCredential',
                     id='x')

    def test_text_that_is_not_utf8_is_refused(self):
        for method, number in ((ACQUIRE, 2), (ACQUIRE, 3), ('BrokerService.Renew', 1),
                               ('BrokerService.Release', 1), ('AdminService.GetCredential', 1),
                               ('AdminService.Disable', 2), (LIST, 3)):
            with self.subTest(f'{method} field {number}'):
                with self.assertRaises(cases.clients.RpcError) as caught:
                    self.client.raw(method, wire_text(number, b'a\xff\xfeb'))
                self.assertEqual(caught.exception.code, 'INVALID_ARGUMENT', caught.exception)
                self.assertTrue(caught.exception.fields[0], caught.exception)

    def test_bytes_that_are_no_message_are_refused(self):
        for wire in (b'\x0a\x05ab', b'\xff' * 64, b'\x0b', b'\x12\xff\xff\xff\xff\x0f'):
            with self.subTest(wire.hex()):
                with self.assertRaises(cases.clients.RpcError) as caught:
                    self.client.raw(ACQUIRE, wire)
                self.assertEqual(caught.exception.code, 'INVALID_ARGUMENT', caught.exception)

    def test_unknown_leases_are_told_apart_from_errors(self):
        self.create('a')
        self.refused('NOT_FOUND', 'NO_SUCH_LEASE', self.call, 'BrokerService.Renew',
                     leaseId='forged')
        released = self.call('BrokerService.Release', leaseId='forged')
        self.assertNotIn('released', released)
        result = self.report('forged', 200)
        self.assertEqual(result['disposition'], 'REPORT_DISPOSITION_UNKNOWN')
        self.assertNotIn('credentialId', result)
        lease = self.acquire()['leaseId']
        turned = lease[:-1] + ('A' if lease[-1] != 'A' else 'B')
        self.assertEqual(self.report(turned, 401)['disposition'], 'REPORT_DISPOSITION_UNKNOWN')
        self.assertEqual(self.status('a')['state'], 'CREDENTIAL_STATE_AVAILABLE')

    def test_unknown_credentials_are_not_found(self):
        for method in ('Disable', 'Enable', 'GetCredential', 'DeleteCredential',
                       'ResetAvailability'):
            with self.subTest(method):
                self.refused('NOT_FOUND', 'NO_SUCH_CREDENTIAL', self.call,
                             f'AdminService.{method}', id='nobody')
        self.refused('NOT_FOUND', 'NO_SUCH_CREDENTIAL', self.call, UPDATE,
                     credential={'id': 'nobody'}, updateMask='priority')
        self.refused('NOT_FOUND', 'NO_SUCH_BATCH', self.call, 'AdminService.UndoBatch',
                     batchId='nosuch')

    def test_a_wrong_etag_changes_nothing(self):
        self.create('a')
        before = self.get('a')
        for method, request in (
                ('Disable', {'id': self.name('a')}), ('Enable', {'id': self.name('a')}),
                ('DeleteCredential', {'id': self.name('a')})):
            with self.subTest(method):
                self.refused('ABORTED', 'ETAG_MISMATCH', self.call, f'AdminService.{method}',
                             etag='stale', **request)
        self.refused('ABORTED', 'ETAG_MISMATCH', self.call, UPDATE, updateMask='priority',
                     credential={'id': self.name('a'), 'etag': 'stale', 'priority': 5})
        self.assertEqual(self.get('a'), before)

    def test_a_wrong_expected_count_changes_nothing(self):
        self.create('a')
        before = self.get('a')
        chosen = {'filter': f'provider = {self.provider}', 'expectedCount': '2'}
        self.refused('FAILED_PRECONDITION', 'EXPECTED_COUNT_MISMATCH', self.call, BATCH,
                     filter=chosen, operations=[{'setPriority': 7}])
        self.refused('FAILED_PRECONDITION', 'SELECTION_EXPIRED', self.call, BATCH,
                     selectionToken='made-up', operations=[{'setPriority': 7}])
        self.assertEqual(self.get('a'), before)

    def test_a_page_token_of_another_query_is_refused(self):
        for name in 'abc':
            self.create(name)
        page = self.call(LIST, pageSize=1, filter=f'provider = {self.provider}')
        self.assertEqual(page['totalSize'], '3')
        token = page['nextPageToken']
        for request in ({'pageToken': token}, {'pageToken': token + 'x'},
                        {'pageToken': token, 'filter': f'provider = {self.provider}',
                         'orderBy': 'priority'}):
            with self.subTest(str(request)):
                self.refused('INVALID_ARGUMENT', 'INVALID_PAGE_TOKEN', self.call, LIST,
                             pageSize=1, **request)

    def test_an_id_that_is_taken_is_said_so(self):
        self.create('a')
        self.refused('ALREADY_EXISTS', 'CREDENTIAL_EXISTS', self.create, 'a')

    def test_a_request_id_with_other_arguments_is_refused(self):
        self.create('a')
        lease = self.acquire(requestId=self.provider)['leaseId']
        self.assertEqual(self.acquire(requestId=self.provider)['leaseId'], lease)
        self.refused('INVALID_ARGUMENT', 'REQUEST_ID_MISMATCH', self.acquire,
                     requestId=self.provider, model='other')
        self.report(lease, 200)
        self.refused('ABORTED', 'REQUEST_ENDED', self.acquire, requestId=self.provider)

    def test_a_call_without_deadline_gets_ten_seconds(self):
        self.create('a', maxInFlight=1)
        self.acquire()
        began = time.monotonic()
        with self.assertRaises(cases.clients.RpcError) as caught:
            self.client.call(ACQUIRE, {'providers': [self.provider], 'model': 'm1',
                                       'maxWait': '60s'}, timeout=None)
        self.assertTrue(9 < time.monotonic() - began < 15, time.monotonic() - began)
        self.assertEqual((caught.exception.code, caught.exception.reason),
                         ('RESOURCE_EXHAUSTED', 'WAIT_EXPIRED'))

    def test_a_message_larger_than_the_limit_is_refused(self):
        self.create('a')
        with self.assertRaises(cases.clients.RpcError) as caught:
            self.client.raw(ACQUIRE, wire_text(3, b'm' * (5 << 20)))
        self.assertEqual(caught.exception.code, 'RESOURCE_EXHAUSTED', caught.exception)
        self.assertTrue(self.acquire()['leaseId'])
