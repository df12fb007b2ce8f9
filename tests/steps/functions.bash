# Sourced by the steps of tests/run.
# shellcheck shell=bash
set -u
shopt -s lastpipe  # "... | case_ok" counts in this shell, not in a subshell
cd "$REPO" || exit 1
case_passed=0 case_failures=0

# case_ok WHAT / case_failed WHAT: counts one case, says so in the log.
case_ok() {
  case_passed=$((case_passed + 1))
  echo "ok: $1"
}
case_failed() {
  case_failures=$((case_failures + 1))
  echo "FAILED: $1"
}

# finish_step: writes the counts and ends the step.
finish_step() {
  echo "TESTS $case_passed $case_failures" >>"$STEP_RESULT"
  echo "$case_passed passed, $case_failures failed"
  exit $((case_failures > 0))
}

# build NAME [TARGET..]: configures and builds $BUILD_ROOT/NAME; NAME fixes the flavour. A build that
# fails is one failure and ends the step.
build() {
  local name=$1 flags=() werror=ON
  shift
  # g++ 12 sees uninitialised values in what its sanitisers add; warnings are refused elsewhere.
  if [ "$name" = asan ]; then werror=OFF; fi
  case "$name" in
    release) flags=(-DCMAKE_BUILD_TYPE=Release) ;;
    faults) flags=(-DCMAKE_BUILD_TYPE=Release -DCREDBROKER_SEEDED_FAULTS=ON) ;;
    asan) flags=(-DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O1
      -DCREDBROKER_SANITIZE=address) ;;
    tsan) flags=(-DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O1
      -DCREDBROKER_SANITIZE=thread -DCREDBROKER_PCH=OFF -DCMAKE_CXX_COMPILER=clang++-19) ;;
    fuzz) flags=(-DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O1 -DCREDBROKER_FUZZ=ON
      -DCREDBROKER_SANITIZE=address -DCREDBROKER_PCH=OFF -DCMAKE_CXX_COMPILER=clang++-19) ;;
    *)
      echo "build: there is no flavour '$name'"
      exit 2
      ;;
  esac
  if ! cmake -S "$REPO" -B "$BUILD_ROOT/$name" -G Ninja -DCREDBROKER_WERROR=$werror \
    -DCREDBROKER_TESTS=ON "${flags[@]}" >"$BUILD_ROOT/logs/cmake-$name.log" 2>&1; then
    tail -n 30 "$BUILD_ROOT/logs/cmake-$name.log"
    case_failed "configure $name"
    finish_step
  fi
  if ! ninja -C "$BUILD_ROOT/$name" -j "$JOBS" "$@"; then
    case_failed "build $name"
    finish_step
  fi
}

# run_ctest NAME ARGS..: runs the tests of $BUILD_ROOT/NAME that belong to this size and adds their
# counts. Skipped tests count neither way; no test at all is a failure.
run_ctest() {
  local name=$1 report exclude='^(full|long)$'
  shift
  case "$SIZE" in
    full) exclude='^long$' ;;
    long) exclude='^$' ;;
  esac
  case "$name" in
    release | faults) ;;
    *) exclude="$exclude|^(bench|no-sanitizer)\$" ;;
  esac
  report=$BUILD_ROOT/$name/ctest.xml
  rm -f "$report"
  ctest --test-dir "$BUILD_ROOT/$name" -j "$JOBS" --output-on-failure --no-tests=error \
    --label-exclude "$exclude" --output-junit "$report" "$@"
  local code=$? head all bad skipped
  head=$(grep -A6 -m1 '<testsuite' "$report" 2>/dev/null | tr '\n' ' ')
  all=$(sed -n 's/.*[[:space:]]tests="\([0-9]*\)".*/\1/p' <<<"$head")
  bad=$(sed -n 's/.*[[:space:]]failures="\([0-9]*\)".*/\1/p' <<<"$head")
  skipped=$(sed -n 's/.*[[:space:]]skipped="\([0-9]*\)".*/\1/p' <<<"$head")
  local disabled
  disabled=$(sed -n 's/.*[[:space:]]disabled="\([0-9]*\)".*/\1/p' <<<"$head")
  if [ -z "$all" ]; then
    case_failed "ctest in $name wrote no report (exit $code)"
    return
  fi
  case_passed=$((case_passed + all - bad - skipped - disabled))
  case_failures=$((case_failures + bad))
  if ((code != 0 && bad == 0)); then case_failed "ctest in $name ended with $code"; fi
}

# run_programs NAME PROGRAM..: runs gtest programs of $BUILD_ROOT/NAME/bin whole, one after the other,
# and adds their counts: in sanitised builds a process a test would cost more than the test.
run_programs() {
  local name=$1 program output passed failed
  shift
  for program in "$@"; do
    output=$("$BUILD_ROOT/$name/bin/$program" --gtest_brief=1 2>&1)
    local code=$?
    passed=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) tests\?.*/\1/p' <<<"$output" | tail -n 1)
    failed=$(sed -n 's/^ *\([0-9]*\) FAILED TESTS\?$/\1/p' <<<"$output" | tail -n 1)
    echo "$program: ${passed:-0} passed, ${failed:-0} failed"
    case_passed=$((case_passed + ${passed:-0}))
    case_failures=$((case_failures + ${failed:-0}))
    if ((code != 0)); then
      echo "$output" | tail -n 60
      if [ "${failed:-0}" = 0 ]; then case_failed "$program ended with $code"; fi
    elif [ "${passed:-0}" = 0 ]; then
      case_failed "$program ran no test"
    fi
  done
}

# our_sources: the tracked C++ sources outside tests/, one a line.
our_sources() { git ls-files 'core/*.cc' 'server/*.cc' 'client/*.cc'; }
