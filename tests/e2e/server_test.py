"""The program itself: configuration, reload, sealed starts, one server a store."""
import os
import re
import tempfile
import unittest

import broker as broker_module
import cases
import clients

run_server = broker_module.run_server


class Configuration(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='cb-')
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def config(self, text):
        path = f'{self.folder}/c.yaml'
        with open(path, 'w', encoding='utf-8') as out:
            out.write(text.replace('@', self.folder))
        return path

    GOOD = ('listeners: {data: [{unix_socket: {path: "@/s"}}]}\n'
            'store: {sqlite: {path: "@/store.db"}}\n'
            'keyring: {path: "@/keyring", create: true}\n')

    def test_a_good_one_is_checked_and_nothing_is_made(self):
        done = run_server('--config', self.config(self.GOOD), '--check-config')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(os.listdir(self.folder), ['c.yaml'])

    def test_an_unknown_key_is_refused_with_file_line_and_field(self):
        path = self.config(self.GOOD + 'limits:\n  max_parkd: 5\n')
        for args in (['--check-config'], []):
            done = run_server('--config', path, *args)
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr,
                             re.escape(path) + r':5:\d+: limits: unknown key "max_parkd"')
            self.assertIn('max_parked', done.stderr)  # what was meant

    def test_all_problems_are_said_at_once(self):
        path = self.config(self.GOOD + 'groups:\n  - name: "No Name"\nlimits: {max_calls: -1}\n'
                           'log: {level: loud}\n')
        done = run_server('--config', path, '--check-config')
        self.assertEqual(done.returncode, 2)
        for field in ('groups[0].name', 'limits.max_calls', 'log.level'):
            self.assertIn(field, done.stderr)

    def test_plain_text_off_loopback_is_refused(self):
        for address in ('0.0.0.0:0', '192.0.2.1:7300', '[::]:0'):
            path = self.config(self.GOOD.replace('unix_socket: {path: "@/s"}',
                                                 f'tcp: {{address: "{address}", plaintext: true}}'))
            for args in (['--check-config'], []):
                done = run_server('--config', path, *args)
                self.assertEqual(done.returncode, 2, address)
                self.assertIn('loopback', done.stderr)

    def test_plain_text_without_the_flag_is_refused(self):
        path = self.config(self.GOOD.replace('unix_socket: {path: "@/s"}',
                                             'tcp: {address: "127.0.0.1:0"}'))
        done = run_server('--config', path)
        self.assertEqual(done.returncode, 2)
        self.assertIn('plaintext', done.stderr)

    def test_a_file_that_is_missing_or_no_yaml_is_refused(self):
        done = run_server('--config', f'{self.folder}/nosuch.yaml')
        self.assertEqual(done.returncode, 2)
        self.assertIn('nosuch.yaml', done.stderr)
        done = run_server('--config', self.config('a: [1\n'))
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r'c\.yaml:\d')

    def test_a_keyring_is_made_readable_by_its_owner_only_and_never_over_another(self):
        path = f'{self.folder}/keyring'
        self.assertEqual(run_server('--init-keyring', path).returncode, 0)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o400)
        with open(path, 'rb') as file:
            before = file.read()
        self.assertNotEqual(run_server('--init-keyring', path).returncode, 0)
        with open(path, 'rb') as file:
            self.assertEqual(file.read(), before)


class Reload(unittest.TestCase):
    def test_a_good_one_is_taken_and_a_bad_one_is_not(self):
        with broker_module.Broker() as broker:
            client = clients.PythonClient(broker)
            self.addCleanup(client.close)
            text = broker.config.read_text()
            request = {'providers': ['p'], 'group': 'third'}

            def reason():
                with self.assertRaises(clients.RpcError) as caught:
                    client.call('BrokerService.Acquire', request)
                return caught.exception.reason

            self.assertEqual(reason(), 'NO_SUCH_GROUP')
            broker.write_config(text + '  - name: third\n')
            broker.reload()
            broker_module.until('group taken', lambda: reason() != 'NO_SUCH_GROUP')

            broker.write_config(text + '  - name: fourth\nnosuch: 1\n')
            broker.reload()
            broker_module.until('refusal shown', lambda: broker.metrics()[
                'credbroker_config_last_reload_successful'] == 0)
            stats = client.call('AdminService.GetStats')
            self.assertIn('nosuch', stats['configError'])
            self.assertEqual(reason(), 'NO_SUCH_PROVIDER')  # the one before is in force
            request['group'] = 'fourth'
            self.assertEqual(reason(), 'NO_SUCH_GROUP')

            # What needs a restart is refused as a whole.
            broker.write_config(text.replace('reflection: true', 'reflection: false') +
                                '  - name: fourth\n')
            broker.reload()
            broker_module.until('restart asked for', lambda: 'restart' in client.call(
                'AdminService.GetStats').get('configError', ''))
            self.assertEqual(reason(), 'NO_SUCH_GROUP')


class Store(unittest.TestCase):
    def test_a_second_server_on_the_same_store_is_refused_and_told_why(self):
        with broker_module.Broker() as broker:
            path = broker.folder / 'second.yaml'
            path.write_text(broker.config.read_text().replace(f'"{broker.socket}"',
                                                              f'"{broker.folder}/s2"'))
            done = run_server('--config', path)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r'store\.db')
            self.assertRegex(done.stderr, r'lock|another|in use')
            self.assertEqual(broker.get('/readyz')[0], 200)

    def test_a_live_socket_is_not_taken_over(self):
        with broker_module.Broker() as broker:
            path = broker.folder / 'second.yaml'
            path.write_text(broker.config.read_text().replace('store.db', 'store2.db')
                            .replace('/keyring', '/keyring2'))
            done = run_server('--config', path)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(str(broker.socket), done.stderr)

    def test_everything_is_there_after_a_restart(self):
        with broker_module.Broker() as broker:
            client = clients.PythonClient(broker)
            client.call('AdminService.CreateCredential', {
                'credential': {'id': 'a', 'provider': 'p', 'priority': 3},
                'secret': {'apiKey': 'a2V5'}})
            client.call('AdminService.Disable', {'id': 'a', 'reason': 'night'})
            before = client.call('AdminService.GetCredential', {'id': 'a'})
            client.close()
            self.assertEqual(broker.stop(), 0)
            broker.start()
            client = clients.PythonClient(broker)
            self.addCleanup(client.close)
            after = client.call('AdminService.GetCredential', {'id': 'a'})
            for key in ('uid', 'etag', 'priority', 'intent'):
                self.assertEqual(after[key], before[key])
            client.call('AdminService.Enable', {'id': 'a'})
            grant = client.call('BrokerService.Acquire', {'providers': ['p']})
            self.assertIn(cases.secret('Bearer key'),
                          [each['value'] for each in grant['requestHeaders']])

    def assert_sealed(self, broker, word):
        self.assertEqual(broker.get('/livez')[0], 200)
        status, text = broker.get('/readyz')
        self.assertEqual(status, 503)
        self.assertIn('keyring', text)
        self.assertRegex(text, word)
        client = clients.PythonClient(broker)
        try:
            with self.assertRaises(clients.RpcError) as caught:
                client.call('BrokerService.Acquire', {'providers': ['p']})
            self.assertEqual((caught.exception.code, caught.exception.reason),
                             ('UNAVAILABLE', 'SEALED'))
            self.assertEqual(client.health(), 'NOT_SERVING')
        finally:
            client.close()

    def test_a_missing_or_wrong_keyring_is_a_sealed_start(self):
        with broker_module.Broker() as broker:
            client = clients.PythonClient(broker)
            client.call('AdminService.CreateCredential', {
                'credential': {'id': 'a', 'provider': 'p'}, 'secret': {'apiKey': 'a2V5'}})
            client.close()
            broker.stop()
            keyring = broker.folder / 'keyring'
            kept = keyring.read_bytes()
            keyring.unlink()
            broker.start('live')
            self.assert_sealed(broker, 'keyring')
            self.assertFalse(keyring.exists())  # never a new one beside an old store
            broker.stop()
            self.assertEqual(run_server('--init-keyring', keyring).returncode, 0)
            broker.start('live')
            self.assert_sealed(broker, 'key')
            broker.stop()
            keyring.unlink()
            keyring.write_bytes(kept)
            keyring.chmod(0o644)
            broker.start('live')
            self.assert_sealed(broker, '0?644|mode|readable|permission')
            broker.stop()
            keyring.chmod(0o400)
            broker.start()
            self.assertEqual(broker.get('/readyz')[0], 200)
