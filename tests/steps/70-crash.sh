# sizes: ci full long
# The real server killed, stopped, its disk full or hanging, its file damaged, its clock moved:
# PROMISES 1, 3, 4, 10, 11, 12 and 16 end to end. Each program of tests/e2e/crash is one test with many
# cases; a program that does not end by itself counts as one failure.
source "$REPO/tests/steps/functions.bash"
if [ -z "${CREDBROKER_BINARY:-}" ]; then
  build release credbroker
  export CREDBROKER_BINARY=$BUILD_ROOT/release/bin/credbroker
fi
CREDBROKER_SCRATCH=$(mktemp -d /tmp/cbcrashXXXXXX)
export CREDBROKER_SCRATCH CREDBROKER_TEST_SIZE=$SIZE PYTHONDONTWRITEBYTECODE=1
clean() {
  umount -l "$CREDBROKER_SCRATCH/small-disk" 2>/dev/null
  rm -rf "$CREDBROKER_SCRATCH"
}
trap clean EXIT

if ! bash tests/e2e/crash/prepare.sh "$CREDBROKER_SCRATCH"; then
  case_failed "tests/e2e/crash/prepare.sh"
  finish_step
fi
case "$SIZE" in
  ci) patience=180 ;;
  full) patience=1800 ;;
  long) patience=14400 ;;
esac
for name in ${CREDBROKER_CRASH_TESTS:-kill write_behind history store_faults clock graceful_stop corruption}; do
  echo "--- $name"
  start=$SECONDS
  log=$CREDBROKER_SCRATCH/$name.log
  timeout -k 5 "$patience" /usr/bin/python3 "tests/e2e/crash/${name}_test.py" >"$log" 2>&1 </dev/null
  code=$?
  cat "$log"
  echo "--- $name took $((SECONDS - start)) s"
  counts=$(sed -n 's/^TESTS \([0-9]* [0-9]*\)$/\1/p' "$log" | tail -n 1)
  if [ -z "$counts" ]; then
    case_failed "$name ended with $code and no result"
    continue
  fi
  case_passed=$((case_passed + ${counts% *}))
  case_failures=$((case_failures + ${counts#* }))
done
finish_step
