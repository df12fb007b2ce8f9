#!/usr/bin/env bash
# Fetches the foreign clients, pinned, into ${XDG_CACHE_HOME:-$HOME/.cache}/credbroker and prints where
# they are: CREDBROKER_BUF=the buf program, CREDBROKER_NODE=the folder with node_modules.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/credbroker

version=$(sed -n 's/^VERSION=//p' ../proto/run.sh)
buf=$cache/buf-$version/node_modules/.bin/buf
if ! "$buf" --version >/dev/null 2>&1; then
  mkdir -p "$cache/buf-$version"
  npm install --silent --no-audit --no-fund --prefix "$cache/buf-$version" "@bufbuild/buf@$version" >&2
fi

digest=$(sha256sum node/package-lock.json | cut -c1-16)
node=$cache/grpc-js-$digest
if [ ! -e "$node/.complete" ]; then
  mkdir -p "$node"
  cp node/package.json node/package-lock.json "$node/"
  (cd "$node" && npm ci --silent --no-audit --no-fund --ignore-scripts) >&2
  touch "$node/.complete"
fi

echo "CREDBROKER_BUF=$buf"
echo "CREDBROKER_NODE=$node"
