#!/usr/bin/env bash
# Makes what the tests here need in the folder $1: stubs/ (Python, from proto/) and shim.so.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
out=$1
mkdir -p "$out/stubs"
(cd proto && protoc -I. --python_out="$out/stubs" --grpc_python_out="$out/stubs" \
  --plugin=protoc-gen-grpc_python="$(command -v grpc_python_plugin)" \
  credbroker/v1/*.proto google/rpc/*.proto)
"${CC:-gcc}" -O2 -Wall -Wextra -Werror -shared -fPIC -o "$out/shim.so" tests/e2e/crash/shim.c -ldl
