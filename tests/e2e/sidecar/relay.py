"""A unix socket before another, which writes down when somebody connects."""
import asyncio
import pathlib
import shutil
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
        self._loop = asyncio.new_event_loop()

    def __enter__(self):
        started = threading.Event()

        def run():
            asyncio.set_event_loop(self._loop)

            async def serve():
                await asyncio.start_unix_server(self._connection, str(self.socket), backlog=1024)
                started.set()

            self._loop.create_task(serve())
            self._loop.run_forever()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        started.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _connection(self, reader, writer):
        now = time.monotonic()
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self.target)
        except OSError:
            self.arrivals.append((now, False))
            writer.transport.abort()
            return
        self.arrivals.append((now, True))
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))

    async def _copy(self, reader, writer):
        try:
            while part := await reader.read(65536):
                writer.write(part)
                await writer.drain()
        except OSError:
            pass
        writer.close()
