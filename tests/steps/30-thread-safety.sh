# sizes: ci full long
# clang's thread-safety analysis, one case a file: over the files that hold or guard a mutex, over each
# source file with --full. Before that, a planted violation must be refused, which shows that the
# analysis is on.
source "$REPO/tests/steps/functions.bash"
build tsan credbroker_grpc

probe='
struct __attribute__((capability("mutex"))) Mutex {
  void Lock() __attribute__((acquire_capability()));
  void Unlock() __attribute__((release_capability()));
};
Mutex mu;
int guarded __attribute__((guarded_by(mu)));
int Read() { return guarded; }
'
if clang++-19 -std=c++20 -fsyntax-only -Werror=thread-safety -x c++ - <<<"$probe" 2>/dev/null; then
  case_failed "an unguarded read was accepted"
else
  case_ok "an unguarded read is refused"
fi

check() {
  local command
  command=$(jq -r --arg file "$REPO/$1" 'first(.[] | select(.file == $file)) | .command' \
    "$BUILD_ROOT/tsan/compile_commands.json")
  if [ -z "$command" ]; then
    echo "not built: $1"
    return
  fi
  # The compile command without its compiler cache, output and dependency file.
  command=$(sed -E 's/^.*(clang\+\+-19)/\1/; s/ -o [^ ]+//; s/ -c / /' <<<"$command")
  if (cd "$BUILD_ROOT/tsan" && eval "$command -fsyntax-only -Wthread-safety -Werror"); then
    echo "ok: $1"
  else
    echo "FAILED: $1"
  fi
}
export -f check
# guarded_sources: those that name a mutex or an annotation, or whose own header does.
guarded_sources() {
  local file
  our_sources | while read -r file; do
    if grep -qE 'Mutex|GUARDED_BY|LOCKS_' "$file" "${file%.cc}.h" 2>/dev/null; then echo "$file"; fi
  done
}
sources=our_sources
if [ "$SIZE" = ci ]; then sources=guarded_sources; fi
output=$($sources | xargs -P "$JOBS" -I{} bash -c 'check {}' 2>&1)
echo "$output"
case_passed=$((case_passed + $(grep -c '^ok: ' <<<"$output")))
case_failures=$((case_failures + $(grep -c '^FAILED: \|^not built: ' <<<"$output")))
finish_step
