"""Python stubs of proto/, generated into a temporary folder by Debian's grpc_python_plugin.

Import this module before any `credbroker.v1...` module.
"""
import atexit
import pathlib
import shutil
import subprocess
import sys
import tempfile

REPO = pathlib.Path(__file__).resolve().parents[2]
PROTO = REPO / 'proto'

_folder = tempfile.mkdtemp(prefix='credbroker-stubs-')
atexit.register(shutil.rmtree, _folder, True)
_sources = [str(path) for part in ('credbroker/v1', 'google/rpc', 'grpc/health/v1')
            for path in sorted((PROTO / part).glob('*.proto'))]
subprocess.run(
    ['protoc', f'--proto_path={PROTO}', f'--python_out={_folder}', f'--grpc_python_out={_folder}',
     f'--plugin=protoc-gen-grpc_python={shutil.which("grpc_python_plugin")}', *_sources],
    check=True)
sys.path.insert(0, _folder)

# The package `google` is Debian's; google.rpc is ours and joins it.
import google  # noqa: E402
import grpc as _grpc  # noqa: E402,F401  (before our folder `grpc` could be looked at)

google.__path__.append(str(pathlib.Path(_folder) / 'google'))
_grpc.__path__.append(str(pathlib.Path(_folder) / 'grpc'))
