#!/usr/bin/env bash
# Checks the protos with buf: lint, format, and no change that breaks the wire or JSON form of what
# was published (proto/baseline.binpb).
#   tests/proto/run.sh                    run the checks
#   tests/proto/run.sh --update-baseline  publish: the protos as they are become the baseline
# buf comes from npm, pinned, into ${XDG_CACHE_HOME:-$HOME/.cache}/credbroker.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

VERSION=1.75.0
folder=${XDG_CACHE_HOME:-$HOME/.cache}/credbroker/buf-$VERSION
buf=$folder/node_modules/.bin/buf

if ! "$buf" --version >/dev/null 2>&1; then
  mkdir -p "$folder"
  npm install --silent --no-audit --no-fund --prefix "$folder" "@bufbuild/buf@$VERSION" >&2
fi
found=$("$buf" --version)
if [ "$found" != "$VERSION" ]; then
  echo "buf is $found, not $VERSION: remove $folder" >&2
  exit 1
fi

# Without source positions: comments are no part of what was published.
build_image() { "$buf" build --exclude-source-info -o "$1"; }

cd proto
case "${1:-}" in
  '') ;;
  --update-baseline)
    build_image baseline.binpb
    exit 0
    ;;
  *)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' ../tests/proto/run.sh >&2
    exit 2
    ;;
esac

passed=0 failed=0
check() { # NAME COMMAND...
  local name=$1
  shift
  if "$@"; then
    echo "ok      $name"
    passed=$((passed + 1))
  else
    echo "FAILED  $name"
    failed=$((failed + 1))
  fi
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The checks themselves must be able to fail: a copy of the protos with one fault, and what buf has
# to say about it.
refuses() { # SAYING FILE SED-EXPRESSION BUF-ARGUMENTS...
  local saying=$1 file=$2 fault=$3
  shift 3
  rm -rf "$scratch/proto"
  cp -r . "$scratch/proto"
  sed -i "$fault" "$scratch/proto/$file"
  if (cd "$scratch/proto" && "$buf" "$@") >"$scratch/said" 2>&1; then
    return 1
  fi
  grep -q -- "$saying" "$scratch/said" || { cat "$scratch/said" && return 1; }
}

check "lint" "$buf" lint
check "format" "$buf" format -d --exit-code
check "nothing published is broken" "$buf" breaking --against baseline.binpb
lease=credbroker/v1/lease.proto
check "lint refuses an undocumented field" \
  refuses 'Field "epoch".*comment' $lease '/Ownership epoch/d' lint
check "format refuses a stray blank" \
  refuses '^-   string lease_id' $lease 's/^  string lease_id = 1;/   string lease_id = 1;/' \
  format -d --exit-code
check "breaking refuses a renumbered field" \
  refuses '"15" with name "probe"' $lease 's/bool probe = 15;/bool probe = 25;/' \
  breaking --against baseline.binpb
check "breaking refuses a renamed value" \
  refuses 'AUTH_HEALTH_FINE' credbroker/v1/types.proto 's/AUTH_HEALTH_OK/AUTH_HEALTH_FINE/' \
  breaking --against baseline.binpb

echo "$passed passed, $failed failed"
[ -z "${STEP_RESULT:-}" ] || echo "TESTS $passed $failed" >>"$STEP_RESULT"
((failed == 0))
