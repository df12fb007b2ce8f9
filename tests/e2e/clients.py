"""Three clients nobody here wrote, behind one face: calls in the messages' JSON form.

  PythonClient  grpcio of Debian, generated stubs, over the unix socket
  NodeClient    @grpc/grpc-js, proto-loader, grpc-health-check, grpc-js-reflection-client
  BufClient     `buf curl --protocol grpc`

client.call('BrokerService.Acquire', {...}) -> answer as dict, or raises RpcError.
"""
import base64
import datetime
import json
import os
import pathlib
import subprocess
import threading

import stubs  # noqa: F401  (first: makes the imports below possible)
import grpc
from google.protobuf import json_format, symbol_database
from credbroker.v1 import admin_pb2, admin_pb2_grpc, broker_pb2, broker_pb2_grpc
from google.rpc import error_details_pb2, status_pb2
from grpc.health.v1 import health_pb2, health_pb2_grpc

HERE = pathlib.Path(__file__).resolve().parent


class RpcError(Exception):
    """A refused call: code ("NOT_FOUND"), reason ("NO_SUCH_LEASE"), metadata, retry_seconds (None
    without RetryInfo), fields (of BadRequest)."""

    def __init__(self, code, message, details):
        super().__init__(f'{code}: {message} {details}')
        self.code = code
        self.message = message
        info = details.get('google.rpc.ErrorInfo', {})
        self.reason = info.get('reason', '')
        self.domain = info.get('domain', '')
        self.metadata = info.get('metadata', {})
        retry = details.get('google.rpc.RetryInfo')
        self.retry_seconds = span(retry['retryDelay']) if retry else None
        bad = details.get('google.rpc.BadRequest', {})
        self.fields = [each['field'] for each in bad.get('fieldViolations', [])]


def span(value):
    """A Duration in either JSON form, in seconds."""
    if isinstance(value, str):
        return float(value.rstrip('s'))
    return int(value.get('seconds', 0)) + int(value.get('nanos', 0)) / 1e9


def moment(value):
    """A Timestamp in either JSON form, in unix seconds."""
    if isinstance(value, dict):
        return span(value)
    text = value.rstrip('Z')
    whole, _, fraction = text.partition('.')
    parsed = datetime.datetime.fromisoformat(whole + '+00:00').timestamp()
    return parsed + (float('0.' + fraction) if fraction else 0)


def rfc3339(seconds):
    text = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat()
    return text.replace('+00:00', 'Z')


def details_of(raw):
    """{type name: JSON} of a grpc-status-details-bin."""
    out = {}
    status = status_pb2.Status.FromString(raw)
    for any_message in status.details:
        name = any_message.type_url.split('/')[-1]
        message = getattr(error_details_pb2, name.split('.')[-1])()
        any_message.Unpack(message)
        out[name] = json_format.MessageToDict(message)
    return out


class PythonClient:
    name = 'python'

    def __init__(self, broker):
        self.channel = grpc.insecure_channel(f'unix:{broker.socket}')
        self.stub = {'BrokerService': broker_pb2_grpc.BrokerServiceStub(self.channel),
                     'AdminService': admin_pb2_grpc.AdminServiceStub(self.channel)}
        self.methods = {}
        for module in (broker_pb2, admin_pb2):
            for service in module.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    self.methods[f'{service.name}.{method.name}'] = method

    def close(self):
        self.channel.close()

    def timestamp(self, seconds):
        return rfc3339(seconds)

    def call(self, method, request=None, timeout=20):
        service, name = method.split('.')
        kind = symbol_database.Default().GetSymbol(self.methods[method].input_type.full_name)
        message = json_format.ParseDict(request or {}, kind())
        return self.send(service, name, message, timeout)

    def send(self, service, name, message, timeout=20):
        """Like call, with a protobuf message."""
        try:
            answer = getattr(self.stub[service], name)(message, timeout=timeout)
            if not hasattr(answer, 'DESCRIPTOR'):
                return [json_format.MessageToDict(each) for each in answer]
            return json_format.MessageToDict(answer)
        except grpc.RpcError as error:
            raise python_error(error) from None

    def raw(self, method, wire, timeout=20):
        """Sends these bytes as the request; for what a good client cannot say."""
        service, name = method.split('.')
        call = self.channel.unary_unary(f'/credbroker.v1.{service}/{name}')
        try:
            return call(wire, timeout=timeout)
        except grpc.RpcError as error:
            raise python_error(error) from None

    def import_files(self, header, files):
        """files: {relative path: bytes}."""
        kind = symbol_database.Default().GetSymbol('credbroker.v1.ImportCredentialsRequest')

        def messages():
            yield json_format.ParseDict({'header': header}, kind())
            for path, content in files.items():
                message = kind()
                message.file.relative_path = path
                message.file.content = content
                yield message

        try:
            return json_format.MessageToDict(
                self.stub['AdminService'].ImportCredentials(messages(), timeout=120))
        except grpc.RpcError as error:
            raise python_error(error) from None

    def health(self):
        stub = health_pb2_grpc.HealthStub(self.channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    def watch(self):
        stub = health_pb2_grpc.HealthStub(self.channel)
        stream = stub.Watch(health_pb2.HealthCheckRequest(), timeout=10)
        status = next(iter(stream)).status
        stream.cancel()
        return health_pb2.HealthCheckResponse.ServingStatus.Name(status)


def python_error(error):
    raw = dict(error.trailing_metadata() or ()).get('grpc-status-details-bin')
    return RpcError(error.code().name, error.details(), details_of(raw) if raw else {})


class NodeClient:
    name = 'grpc-js'

    def __init__(self, broker, target=None):
        folder = os.environ['CREDBROKER_NODE']
        self.process = subprocess.Popen(
            ['node', str(HERE / 'node' / 'client.js'), target or broker.tcp, str(stubs.PROTO)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, 'NODE_PATH': f'{folder}/node_modules'})
        self.id = 0

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def timestamp(self, seconds):
        return {'seconds': str(int(seconds)), 'nanos': int(seconds % 1 * 1e9)}

    def order(self, op, timeout=60, **more):
        self.id += 1
        guard = threading.Timer(timeout, self.process.kill)
        guard.start()
        try:
            self.process.stdin.write(json.dumps({'id': self.id, 'op': op, **more}) + '\n')
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        finally:
            guard.cancel()
        if not line:
            raise AssertionError(f'the node client ended during {op}')
        answer = json.loads(line)
        assert answer['id'] == self.id
        if 'error' in answer:
            error = answer['error']
            raise RpcError(error['code'], error['message'], error['details'])
        return answer['response']

    def call(self, method, request=None, timeout=20):
        return self.order('call', method=method, request=request or {}, timeout_ms=timeout * 1000)

    def health(self):
        return self.order('health')

    def watch(self):
        return self.order('watch')

    def services(self):
        return self.order('services')


class BufClient:
    name = 'buf curl'

    def __init__(self, broker):
        self.address = f'http://{broker.tcp}'
        self.buf = os.environ['CREDBROKER_BUF']

    def close(self):
        pass

    def timestamp(self, seconds):
        return rfc3339(seconds)

    def run(self, path, request, schema=True, more=()):
        args = [self.buf, 'curl', '--protocol', 'grpc', '--http2-prior-knowledge', *more]
        if schema:
            args += ['--schema', str(stubs.PROTO)]
        if request is not None:
            args += ['--data', json.dumps(request)]
        done = subprocess.run([*args, f'{self.address}{path}'], capture_output=True, text=True,
                              timeout=60, cwd=HERE)
        if done.returncode != 0:
            try:
                error = json.loads(done.stderr)
            except ValueError:
                raise AssertionError(f'buf curl {path}: {done.stderr}') from None
            details = {}
            for each in error.get('details', []):
                message = getattr(error_details_pb2, each['type'].split('.')[-1])()
                value = each['value']
                message.ParseFromString(base64.b64decode(value + '=' * (-len(value) % 4)))
                details[each['type']] = json_format.MessageToDict(message)
            raise RpcError(error['code'].upper(), error.get('message', ''), details)
        return done.stdout

    def call(self, method, request=None, timeout=20):
        del timeout
        return json.loads(self.run('/credbroker.v1.' + method.replace('.', '/'), request or {}))

    def health(self):
        return json.loads(self.run('/grpc.health.v1.Health/Check', {}))['status']

    def services(self):
        return self.run('', None, schema=False, more=['--list-services']).split()


ALL = (PythonClient, NodeClient, BufClient)
