# sizes: ci full long
# clang-tidy with .clang-tidy, one case a file: over core, over each source file with --full.
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
sources=$(our_sources)
if [ "$SIZE" = ci ]; then sources=$(grep '^core/' <<<"$sources"); fi
output=$(xargs -P "$JOBS" -I{} bash -c 'tidy {}' <<<"$sources")
grep -v 'warnings generated\|^Suppressed\|^Use -header-filter' <<<"$output"
case_passed=$((case_passed + $(grep -c '^ok: ' <<<"$output")))
case_failures=$((case_failures + $(grep -c '^FAILED: ' <<<"$output")))
finish_step
