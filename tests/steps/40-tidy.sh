# sizes: ci full long
# clang-tidy with .clang-tidy over each source file of ours; one case a file.
source "$REPO/tests/steps/functions.bash"
build tsan credbroker_grpc

tidy() {
  if clang-tidy-19 --quiet -p "$BUILD_ROOT/tsan" "$1" 2>&1; then
    echo "ok: $1"
  else
    echo "FAILED: $1"
  fi
}
export -f tidy
output=$(our_sources | xargs -P "$JOBS" -I{} bash -c 'tidy {}')
grep -v 'warnings generated\|^Suppressed\|^Use -header-filter' <<<"$output"
case_passed=$((case_passed + $(grep -c '^ok: ' <<<"$output")))
case_failures=$((case_failures + $(grep -c '^FAILED: ' <<<"$output")))
finish_step
