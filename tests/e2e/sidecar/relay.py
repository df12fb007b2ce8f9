"""A unix socket before another, which writes down when somebody connects.

A process of its own: beside a test's threads it would see those late, and many at once, who came
one by one.  relay.py LISTEN TARGET  writes a line for each connection: time.monotonic(), and 1 if
the target took it."""
import asyncio
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time


class Relay:
    """`with Relay(target) as relay`; clients connect to relay.socket.

    `arrivals`: time.monotonic() of each connection, with whether the target took it."""

    def __init__(self, target):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='cbr-'))
        self.socket = self.folder / 's'
        self.target = str(target)
        self.arrivals = []

    def __enter__(self):
        self._process = subprocess.Popen([sys.executable, __file__, str(self.socket), self.target],
                                         stdout=subprocess.PIPE, text=True)
        if self._process.stdout.readline() != 'ready\n':
            raise RuntimeError('the relay did not start')
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(10)
        self._thread.join(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self):
        for line in self._process.stdout:
            when, good = line.split()
            self.arrivals.append((float(when), good == '1'))


async def connection(reader, writer, target):
    now = time.monotonic()
    try:
        far_reader, far_writer = await asyncio.open_unix_connection(target)
    except OSError:
        print(now, 0, flush=True)
        writer.transport.abort()
        return
    print(now, 1, flush=True)
    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))


async def copy(reader, writer):
    try:
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def serve(socket, target):
    server = await asyncio.start_unix_server(lambda reader, writer: connection(
        reader, writer, target), socket, backlog=1024)
    print('ready', flush=True)
    await server.serve_forever()


if __name__ == '__main__':
    asyncio.run(serve(sys.argv[1], sys.argv[2]))
