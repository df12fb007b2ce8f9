"""An upstream by script: an HTTP/1.1 server on a free port of 127.0.0.1, in a thread of its own.

`upstream.answer(token, Answer(429, {'retry-after': '30'}))` says what requests with this token get
from now on; several answers are given in turn, the last one for ever. Without: 200. Every request
is kept in `upstream.seen`, and for each token how many were under way at once.
"""
import asyncio
import collections
import dataclasses
import socket
import struct
import threading
import time


@dataclasses.dataclass
class Answer:
    status: int = 200
    headers: dict = dataclasses.field(default_factory=dict)
    body: bytes = b'done'
    delay: float = 0.0       # before the head
    chunks: tuple = ()       # a chunked body instead: (bytes, seconds to wait before it) each
    reset: str = ''          # 'head': RST instead of an answer; 'body': RST after the head


@dataclasses.dataclass
class Request:
    token: str               # of "Authorization: Bearer"; '': none
    method: str
    path: str
    headers: list            # (lower-case name, value)
    time: float              # time.monotonic()
    body: bytes = b''
    aborted: bool = False    # its client went away before the answer was complete


class Upstream:
    """`with Upstream() as upstream`; its address is upstream.address."""

    def __init__(self):
        self.seen = []
        self.malformed = []                   # what came and was no request
        self.now = collections.Counter()      # requests under way, by token
        self.most = collections.Counter()     # and the most there ever were
        self._script = {}
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(('127.0.0.1', 0), backlog=1024)
        self.address = '127.0.0.1:%d' % self._listener.getsockname()[1]

    def __enter__(self):
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def answer(self, token, *answers):
        """What requests with this token get; token None: all others."""
        with self._lock:
            self._script[token] = collections.deque(answers)

    def forget(self):
        """Of what was seen and scripted."""
        with self._lock:
            self._script.clear()
            self.seen = []
            self.most = collections.Counter(self.now)

    def tokens(self):
        """Of the requests seen, in order."""
        return [each.token for each in self.seen]

    def _run(self, started):
        asyncio.set_event_loop(self._loop)

        async def serve():
            await asyncio.start_server(self._connection, sock=self._listener)
            started.set()

        self._loop.create_task(serve())
        self._loop.run_forever()

    def _next(self, token):
        with self._lock:
            answers = self._script.get(token) or self._script.get(None)
            if not answers:
                return Answer()
            return answers.popleft() if len(answers) > 1 else answers[0]

    async def _connection(self, reader, writer):
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        except (ValueError, asyncio.LimitOverrunError) as error:
            self.malformed.append(error)
        finally:
            writer.close()

    async def _one(self, reader, writer):
        head = (await reader.readuntil(b'\r\n\r\n')).decode('latin-1').split('\r\n')
        method, path, _ = head[0].split(' ')
        headers = [(name.lower(), value.strip()) for name, _, value in
                   (line.partition(':') for line in head[1:] if line)]
        fields = dict(headers)
        token = fields.get('authorization', '').removeprefix('Bearer ')
        request = Request(token, method, path, headers, time.monotonic())
        request.body = await self._body(reader, fields)
        self.seen.append(request)
        self.now[token] += 1
        self.most[token] = max(self.most[token], self.now[token])
        try:
            return await self._send(writer, reader, request, self._next(token))
        finally:
            self.now[token] -= 1

    async def _body(self, reader, fields):
        if 'transfer-encoding' not in fields:
            return await reader.readexactly(int(fields.get('content-length', 0)))
        body = b''
        while size := int((await reader.readline()).split(b';')[0], 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return body

    async def _send(self, writer, reader, request, answer):
        if answer.delay and not await self._pause(reader, request, answer.delay):
            return False
        if answer.reset == 'head':
            return self._reset(writer)
        length = [] if answer.chunks else [('content-length', len(answer.body))]
        if answer.chunks:
            length = [('transfer-encoding', 'chunked')]
        if answer.reset == 'body':
            length = [('content-length', 1 << 20)]
        writer.write(b''.join(
            [b'HTTP/1.1 %d Scripted\r\n' % answer.status,
             *(f'{name}: {value}\r\n'.encode() for name, value in
               [*answer.headers.items(), *length]), b'\r\n']))
        if answer.reset == 'body':
            writer.write(answer.body)
            await writer.drain()
            await asyncio.sleep(0.05)   # RST discards what was not yet sent
            return self._reset(writer)
        if not answer.chunks:
            writer.write(answer.body)
        for chunk, delay in answer.chunks:
            if not await self._pause(reader, request, delay):
                return False
            writer.write(b'%x\r\n%s\r\n' % (len(chunk), chunk))
            await writer.drain()
        if answer.chunks:
            writer.write(b'0\r\n\r\n')
        await writer.drain()
        return True

    async def _pause(self, reader, request, seconds):
        """False: the client went away meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.02))
            if reader.at_eof() or reader.exception() is not None:
                request.aborted = True
                return False
        return True

    def _reset(self, writer):
        """Closes by RST."""
        writer.get_extra_info('socket').setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        writer.transport.abort()
        return False
