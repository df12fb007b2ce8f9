# sizes: ci full long
# The examples, and the sidecar behind real nginx and Caddy, killed, stopped and cut off under load.
# tests/e2e/sidecar/run.py writes $STEP_RESULT itself.
source "$REPO/tests/steps/functions.bash"
build release credbroker credbrokerctl credbroker-sidecar
if ! bash tests/e2e/sidecar/prepare.sh; then
  case_failed "tests/e2e/sidecar/prepare.sh"
  finish_step
fi
case "$SIZE" in
  ci) patience=600 ;;
  *) patience=3600 ;;
esac
CREDBROKER_BIN=$BUILD_ROOT/release/bin timeout -k 5 "$patience" tests/e2e/sidecar/run.py
code=$?
if grep -q '^TESTS ' "$STEP_RESULT"; then exit "$code"; fi
case_failed "tests/e2e/sidecar/run.py ended with $code"
finish_step
