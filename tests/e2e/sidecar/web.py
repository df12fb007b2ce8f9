"""HTTP/1.1 over unix sockets and TCP: one request, or raw bytes."""
import dataclasses
import http.client
import json
import socket
import time


class Connection(http.client.HTTPConnection):
    """address: a path (unix socket) or "host:port"."""

    def __init__(self, address, timeout=20):
        super().__init__('test.example', timeout=timeout)
        self.address = str(address)

    def connect(self):
        self.sock = connect(self.address, self.timeout)


def connect(address, timeout=20):
    if '/' in str(address):
        plug = socket.socket(socket.AF_UNIX)
        plug.settimeout(timeout)
        plug.connect(str(address))
        return plug
    host, _, port = address.rpartition(':')
    return socket.create_connection((host, int(port)), timeout)


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict    # lower-case names
    body: bytes

    def json(self):
        return json.loads(self.body)


def request(address, method='GET', path='/', headers=None, body=None, timeout=20):
    """One request on a connection of its own. OSError or HTTPException: there was no answer."""
    connection = Connection(address, timeout)
    try:
        return send(connection, method, path, headers, body)
    finally:
        connection.close()


def send(connection, method='GET', path='/', headers=None, body=None):
    """One request on a connection that may have been used before."""
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()},
                  answer.read())


def raw(address, data, timeout=10):
    """Sends these bytes and returns all that comes until the other side closes or `timeout`. To end
    early, say "Connection: close"."""
    out = b''
    with connect(address, timeout) as plug:
        end = time.monotonic() + timeout
        try:
            plug.sendall(data)
        except OSError:
            pass    # refused before it was sent; the answer may be there all the same
        while (left := end - time.monotonic()) > 0:
            plug.settimeout(left)
            try:
                part = plug.recv(65536)
            except OSError:
                break
            if not part:
                break
            out += part
    return out
