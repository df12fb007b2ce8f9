# sizes: ci full long
# The real programs from outside: foreign clients, configuration, files, metrics. tests/e2e/run.py
# writes $STEP_RESULT itself.
source "$REPO/tests/steps/functions.bash"
build release credbroker credbrokerctl
if ! bash tests/e2e/prepare.sh; then
  case_failed "tests/e2e/prepare.sh"
  finish_step
fi
CREDBROKER_BIN=$BUILD_ROOT/release/bin timeout 1200 tests/e2e/run.py
code=$?
if grep -q '^TESTS ' "$STEP_RESULT"; then exit "$code"; fi
case_failed "tests/e2e/run.py ended with $code"
finish_step
