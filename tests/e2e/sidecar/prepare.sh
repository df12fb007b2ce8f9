#!/usr/bin/env bash
# What these tests need besides ../prepare.sh, in ${XDG_CACHE_HOME:-$HOME/.cache}/credbroker: stubs of
# proto/ for the examples and the Go example. Prints KEY=VALUE.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/credbroker
examples=../../../deploy/examples
bash ../prepare.sh

digest=$(cat ../../../proto/credbroker/v1/*.proto "$examples/stubs" "$examples"/go/*.go | sha256sum | cut -c1-16)
built=$cache/examples-$digest
if [ ! -e "$built/.complete" ]; then
  "$examples/stubs" python "$built/python"
  "$examples/stubs" go "$built/go/src"
  GO111MODULE=off GOPATH=$built/go:/usr/share/gocode GOCACHE=$cache/go-build \
    go build -o "$built/call" "$examples/go/call.go" >&2
  touch "$built/.complete"
fi
echo "CREDBROKER_EXAMPLES=$built"
