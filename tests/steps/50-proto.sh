# sizes: ci full long
# The interface: lint, breaking changes, foreign tools. tests/proto/run.sh may write $STEP_RESULT
# itself; otherwise its exit code is one case.
source "$REPO/tests/steps/functions.bash"
if [ ! -e tests/proto/run.sh ]; then
  case_failed "tests/proto/run.sh is missing"
  finish_step
fi
bash tests/proto/run.sh
code=$?
if grep -q '^TESTS ' "$STEP_RESULT"; then exit "$code"; fi
if ((code == 0)); then case_ok "tests/proto/run.sh"; else case_failed "tests/proto/run.sh"; fi
finish_step
