"""Real nginx and Caddy with the configurations of deploy/, on sockets in a folder of their own.

Only paths, addresses and, where not root, the user are replaced in those files.
"""
import os
import pathlib
import shutil
import subprocess
import tempfile

import broker as broker_module
import web
from broker import until

DEPLOY = broker_module.REPO / 'deploy'
BEHIND = 'https://api.anthropic.com'
IN_FRONT = '127.0.0.1:8080'


class Proxy:
    """`with Nginx(sidecar, upstream) as proxy`; clients connect to proxy.socket."""

    def __init__(self, sidecar, upstream):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='cbp-'))
        self.socket = self.folder / 'in.sock'
        self.sidecar = sidecar
        self.upstream = upstream
        self.process = None

    def install(self, *files):
        """Copies configuration files with their replacements made."""
        for file in files:
            text = file.read_text()
            for old, new in self.replacements():
                text = text.replace(old, new)
            used = [line for line in text.splitlines() if not line.lstrip().startswith('#')]
            left = [line for line in used if '/run/' in line or '8080' in line]
            assert not left, left    # else two of these could meet
            (self.folder / file.name).write_text(text)

    def replacements(self):
        return [('/run/credbroker/', f'{self.sidecar.folder}/'),
                (BEHIND, f'http://{self.upstream.address}')]

    def command(self):
        raise NotImplementedError

    def __enter__(self):
        with open(self.folder / 'log', 'ab') as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={**os.environ, 'HOME': str(self.folder), 'XDG_DATA_HOME': str(self.folder),
                     'XDG_CONFIG_HOME': str(self.folder)})
        try:
            until('serving', self.serving)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def serving(self):
        if self.process.poll() is not None:
            raise AssertionError((self.folder / 'log').read_text())
        try:
            web.connect(self.socket, 2).close()
            return True
        except OSError:
            return False

    def request(self, path, method='GET', headers=None, body=None, timeout=20):
        return web.request(self.socket, method, path, headers, body, timeout)


class Nginx(Proxy):
    def replacements(self):
        temporary = ''.join(f'  {kind}_temp_path {self.folder}/{kind};\n' for kind in
                            ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
        return [*super().replacements(),
                ('user www-data;', 'user root;' if os.geteuid() == 0 else ''),
                ('worker_processes auto;', 'worker_processes 1;'),
                ('/run/nginx.pid', f'{self.folder}/pid'),
                ('/var/log/nginx/error.log', f'{self.folder}/error.log'),
                (f'listen {IN_FRONT}', f'listen unix:{self.socket}'),
                ('  include credbroker_http.conf;\n',
                 '  include credbroker_http.conf;\n  access_log off;\n' + temporary)]

    def command(self):
        self.install(*(DEPLOY / 'nginx' / name for name in
                       ('nginx.conf', 'credbroker_http.conf', 'credbroker_server.conf')))
        return [shutil.which('nginx') or '/usr/sbin/nginx', '-p', str(self.folder), '-e',
                f'{self.folder}/error.log', '-c', f'{self.folder}/nginx.conf', '-g', 'daemon off;']


class Caddy(Proxy):
    def replacements(self):
        # A site on a socket: http:// with any host, bound to it.
        return [*super().replacements(), ('127.0.0.1:5140', f'127.0.0.1:{self.sidecar.udp}'),
                (f'http://{IN_FRONT} {{', f'http:// {{\n\tbind unix/{self.socket}')]

    def command(self):
        self.install(DEPLOY / 'caddy' / 'Caddyfile')
        return ['caddy', 'run', '--adapter', 'caddyfile', '--config', f'{self.folder}/Caddyfile']
