"""Credential files: import and export, watched directories, and where secrets do not go."""
import json
import os
import pathlib
import re
import shutil
import sqlite3

import broker as broker_module
import cases
import clients

until = broker_module.until


def write(path, value):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


class ImportAndExport(cases.BrokerCase):
    FILES = {
        'alice.json': {'type': 'claude', 'email': 'alice@example.com', 'access_token': 'at-alice',
                       'refresh_token': 'rt-alice', 'priority': 5, 'future_key': {'a': [1, 'x']}},
        'team/bob.json': {'type': 'codex', 'access_token': 'at-bob', 'account_id': 'acc-1',
                          'excluded-models': ['gpt-3*'], 'disabled': True},
        'key.json': {'type': 'openai', 'api_key': 'sk-team', 'base_url': 'https://api.example.com',
                     'weight': '3'},
    }

    def folder(self, files):
        folder = self.broker.folder / self.provider
        for name, content in files.items():
            write(folder / name, content)
        return folder

    def files(self):
        """FILES with secrets of their own: a refresh token has one owner."""
        text = json.dumps(self.FILES).replace('rt-alice', f'rt-{self.provider}')
        return json.loads(text)

    def run_import(self, folder, *more):
        return self.broker.ctl('-o', 'json', 'import', folder, '--source', self.provider, *more,
                               check=False)

    def test_what_went_in_comes_out_without_its_secrets(self):
        done = self.run_import(self.folder(self.files()))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)['createdCount'], '3')
        self.assertIn('WARNING', done.stderr)  # the broker owns the refresh token now
        out = self.broker.folder / f'{self.provider}-out'
        self.broker.ctl('export', out, '--source', self.provider)
        for name, put_in in self.files().items():
            with self.subTest(name):
                text = (out / name).read_text()
                got = json.loads(text)
                for key, value in put_in.items():
                    if key in ('access_token', 'refresh_token', 'api_key'):
                        self.assertNotIn(value, text)
                    elif key == 'excluded-models':
                        self.assertEqual(got.get('excluded_models', got.get(key)), value)
                    elif key == 'weight':
                        self.assertEqual(int(got['weight']), 3)
                    else:
                        self.assertEqual(got[key], value, key)
        # Exported files go in again and change nothing: an absent secret removes none.
        done = self.run_import(out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(self.acquire(providers=['openai'])['requestHeaders'])

    def test_a_repeated_import_changes_nothing(self):
        folder = self.folder(self.files())
        self.assertEqual(self.run_import(folder, '--dry-run').returncode, 0)
        self.refused('NOT_FOUND', 'NO_SUCH_CREDENTIAL', self.get, 'alice')
        self.run_import(folder)
        before = self.get('alice')
        again = json.loads(self.run_import(folder).stdout)
        self.assertEqual(again['unchangedCount'], '3')
        self.assertEqual(self.get('alice')['etag'], before['etag'])

    def test_an_operators_priority_survives_a_rewritten_file(self):
        folder = self.folder(self.files())
        self.run_import(folder)
        self.call('AdminService.UpdateCredential', updateMask='priority',
                  credential={'id': self.name('alice'), 'priority': 9})
        write(folder / 'alice.json', {**self.files()['alice.json'], 'note': 'rewritten'})
        self.assertEqual(json.loads(self.run_import(folder).stdout)['updatedCount'], '1')
        alice = self.get('alice')
        self.assertEqual((alice['priority'], alice['note']), (9, 'rewritten'))

    def test_bad_files_are_said_and_the_others_go_in(self):
        folder = self.folder({
            'good.json': {'type': 'openai', 'api_key': 'sk-good'},
            'cut.json': '{"type": "openai", "api_key": "sk-',
            'deep.json': '[' * 5000 + ']' * 5000,
            'twice.json': '{"type": "openai", "api_key": "a", "api_key": "b"}',
            'control.json': {'type': 'openai', 'api_key': 'sk-a\nb'},
            'weight.json': {'type': 'openai', 'api_key': 'k', 'weight': 1000001},
            'list.json': '17',
        })
        (folder / 'latin.json').write_bytes(b'{"type": "openai", "api_key": "k", "note": "\xff"}')
        (folder / 'empty.json').write_text('')
        (folder / 'other.cds').write_text('not looked at')
        done = self.run_import(folder)
        self.assertEqual(done.returncode, 1, done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual(answer['createdCount'], '1')
        rejected = {each['relativePath']: each for each in answer['results']
                    if each['action'] == 'IMPORT_ACTION_REJECTED'}
        self.assertLessEqual({'cut.json', 'deep.json', 'twice.json', 'control.json',
                              'weight.json', 'latin.json', 'list.json', 'empty.json'},
                             set(rejected))
        for each in rejected.values():
            self.assertTrue(each['message'])
            self.assertNotIn('sk-', each['message'])
        self.assertTrue(self.get('good'))

    def test_exit_codes(self):
        folder = self.folder({'a.json': {'type': 'openai', 'api_key': 'k'}})
        self.assertEqual(self.run_import(folder).returncode, 0)
        write(folder / 'a.json', {'type': 'openai', 'api_key': 'k2'})
        self.assertEqual(self.run_import(folder, '--mode', 'skip').returncode, 0)
        self.assertEqual(self.run_import(folder, '--mode', 'fail').returncode, 1)
        self.assertEqual(self.run_import(folder / 'nosuch').returncode, 2)
        self.assertEqual(self.run_import(folder, '--no-such-flag').returncode, 2)
        bad_source = self.broker.ctl('import', folder, '--source', 'No Name', check=False)
        self.assertEqual(bad_source.returncode, 2)
        away = broker_module.subprocess.run(
            [broker_module.CTL, '--server', 'unix:/nonexistent/socket', 'stats'],
            capture_output=True, timeout=30)
        self.assertEqual(away.returncode, 7)
        self.assertEqual(self.broker.ctl('get', 'nobody', check=False).returncode, 3)

    def test_a_list_of_keys_becomes_credentials(self):
        folder = self.folder({'keys.txt': '# free tier\nsk-1\n\nsk-2\n'})
        done = self.run_import(folder / 'keys.txt', '--keys', '--provider', self.provider)
        self.assertEqual(json.loads(done.stdout)['createdCount'], '2', done.stderr)
        self.assertEqual(self.call('AdminService.ListCredentials', filter=(
            f'provider = {self.provider}'))['totalSize'], '2')


class WatchedDirectory(cases.BrokerCase):
    extra = ('sources: [{name: team, path: "@FOLDER@/auths", debounce: 50ms}]\n')

    @classmethod
    def setUpClass(cls):
        original = broker_module.Broker.write_config

        def with_folder(self, text):
            (self.folder / 'auths').mkdir(exist_ok=True)
            original(self, text)
        broker_module.Broker.write_config = with_folder
        cls.addClassCleanup(setattr, broker_module.Broker, 'write_config', original)
        super().setUpClass()
        cls.auths = cls.broker.folder / 'auths'

    def read(self, name):
        try:
            return self.client.call('AdminService.GetCredential', {'id': f'team/{name}'})
        except clients.RpcError as error:
            self.assertEqual(error.code, 'NOT_FOUND')
            return None

    def put(self, name, **fields):
        """As login tools do: a new file beside, then a rename."""
        beside = self.auths / f'.{name}.tmp'
        write(beside, {'type': self.provider, **fields})
        os.rename(beside, self.auths / f'{name}.json')

    def test_a_file_that_comes_changes_goes_and_returns(self):
        self.put('a', access_token='at-1', note='one')
        first = until('imported', lambda: self.read('a'))
        self.assertEqual(first['refreshOwner'], 'REFRESH_OWNER_EXTERNAL')
        self.put('a', access_token='at-2', note='two')
        changed = until('updated', lambda: self.read('a')['note'] == 'two' and self.read('a'))
        self.assertEqual(changed['uid'], first['uid'])
        self.assertEqual(int(changed['status']['materialVersion']),
                         int(first['status']['materialVersion']) + 1)
        # An operator's word survives what the file does.
        self.client.call('AdminService.Disable', {'id': 'team/a'})
        kept = (self.auths / 'a.json').read_text()
        (self.auths / 'a.json').unlink()
        until('retired', lambda: self.read('a') is None)
        write(self.auths / 'a.json', kept)
        back = until('revived', lambda: self.read('a'))
        self.assertEqual(back['uid'], first['uid'])
        self.assertEqual(back['status']['state'], 'CREDENTIAL_STATE_DISABLED')

    def test_a_renamed_file_loses_no_login(self):
        self.put('before', access_token='at-r', refresh_token='rt-rename')
        first = until('imported', lambda: self.read('before'))
        os.rename(self.auths / 'before.json', self.auths / 'after.json')
        after = until('renamed', lambda: self.read('after'))
        until('old one gone', lambda: self.read('before') is None)
        self.assertTrue(after['status']['state'], first)
        grant = self.acquire()
        self.assertEqual(grant['credentialId'], 'team/after')

    def test_a_half_written_file_is_waited_for(self):
        whole = json.dumps({'type': self.provider, 'access_token': 'at-half', 'note': 'whole'})
        write(self.auths / 'half.json', whole[:20])
        write(self.auths / 'mark.json', {'type': self.provider, 'access_token': 'at-mark'})
        until('the folder looked at', lambda: self.read('mark'))
        self.assertIsNone(self.read('half'))
        write(self.auths / 'half.json', whole)
        self.assertEqual(until('the whole file taken', lambda: self.read('half'))['note'], 'whole')

    def test_a_folder_that_vanishes_retires_nothing(self):
        self.put('stay', access_token='at-s')
        until('imported', lambda: self.read('stay'))
        os.rename(self.auths, self.broker.folder / 'elsewhere')
        self.addCleanup(lambda: self.auths.exists() or os.rename(
            self.broker.folder / 'elsewhere', self.auths))
        until('an alarm', lambda: re.search(
            r'"level":"warn[^}]*"the state of a watched source"[^}]*"source":"team"',
            self.broker.log()))
        self.assertIsNotNone(self.read('stay'))
        os.rename(self.broker.folder / 'elsewhere', self.auths)

    def test_nothing_is_written_into_it(self):
        self.put('w', access_token='at-w')
        until('imported', lambda: self.read('w'))
        self.assertTrue({each.suffix for each in self.auths.iterdir()} <= {'.json'})


class Secrets(cases.BrokerCase):
    def test_no_secret_leaves_but_in_a_grant(self):
        mark = 'CANARY7f3a'
        folder = self.broker.folder / 'secret'
        secrets = {}

        def secret(name):
            secrets[name] = f'{mark}-{name}-{len(secrets)}'
            return secrets[name]

        write(folder / 'login.json', {
            'type': 'claude', 'access_token': secret('access'), 'refresh_token': secret('refresh'),
            'id_token': secret('id'), 'email': 'a@example.com'})
        write(folder / 'key.json', {
            'type': 'openai', 'api_key': secret('key'),
            'proxy_url': f'http://user:{secret("proxy")}@127.0.0.1:9',
            'headers': {'x-api-key': secret('header')}})
        write(folder / 'sa.json', {'type': 'vertex', 'service_account': {
            'private_key': secret('private'), 'client_email': 'x@example.com'}})
        write(folder / 'cookie.json', {'type': 'iflow', 'api_key': secret('iflow'),
                                       'cookie': secret('cookie')})
        write(folder / 'bad.json', '{"type": "openai", "api_key": "' + secret('bad') + '", }')
        write(folder / 'control.json', {'type': 'openai', 'api_key': secret('ctl') + '\n'})
        said = []

        def ctl(*args):
            done = self.broker.ctl(*args, check=False)
            said.append((' '.join(map(str, args)), done.stdout + done.stderr))
            return done.stdout

        for form in ('table', 'json'):
            ctl('-o', form, 'import', folder, '--source', 'sec')
            ctl('-o', form, 'list', '--state', 'all')
            for name in ('login', 'key', 'sa', 'cookie', 'bad'):
                ctl('-o', form, 'get', f'sec/{name}')
            ctl('-o', form, 'stats')
            ctl('-o', form, 'explain', '--provider', 'openai')
            proxy = f'http://u:{secret("p2")}@127.0.0.1:9'
            ctl('-o', form, 'batch', 'sec/key', '--set-proxy', proxy, '--dry-run')
        ctl('export', self.broker.folder / 'out', '--source', 'sec')
        grant = self.acquire(providers=['openai'])
        self.assertIn(mark, clients.base64.b64decode(
            grant['requestHeaders'][0]['value']).decode())  # the search below can find something
        body = clients.base64.b64encode(f'no {secret("body")}'.encode()).decode()
        self.report(grant['leaseId'], 429, bodyExcerpt=body, headers=[
            {'name': 'set-cookie', 'value': cases.secret(secret('reply'))}])
        for request in ({'credential': {'id': 'sec/key', 'provider': 'p'},
                         'secret': {'apiKey': cases.secret(secret('taken'))}},
                        {'credential': {'id': 'new', 'provider': 'P P'},
                         'secret': {'apiKey': cases.secret(secret('refused') + '\n')}}):
            with self.assertRaises(clients.RpcError) as caught:
                self.client.call('AdminService.CreateCredential', request)
            said.append(('error', str(caught.exception)))
        said.append(('get', json.dumps(self.call('AdminService.GetCredential', id='sec/key'))))
        self.call('AdminService.DeleteCredential', id='sec/login')
        said.append(('metrics', self.broker.get('/metrics')[1]))
        said.append(('readyz', self.broker.get('/readyz')[1]))
        self.broker.stop()
        said.append(('log', self.broker.log()))
        found = []
        for path in sorted(self.broker.folder.rglob('*')):
            if path.is_file() and folder not in path.parents:
                said.append((str(path), path.read_bytes().decode('latin-1')))
        for place, text in said:
            for name, value in secrets.items():
                forms = {value, clients.base64.b64encode(value.encode()).decode().rstrip('='),
                         value.encode().hex()}
                if any(each in text for each in forms):
                    found.append(f'{name} in {place}')
        self.assertEqual(found, [])
        with sqlite3.connect(self.broker.folder / 'store.db') as store:
            self.assertEqual(store.execute('PRAGMA integrity_check').fetchone(), ('ok',))
        shutil.rmtree(folder)
        self.broker.start()
