# sizes: ci full long
# ThreadSanitizer, built by clang with warnings (thread-safety included) as errors. The packaged gRPC
# and abseil are not instrumented: reports about their own memory are ignored, ours are found.
source "$REPO/tests/steps/functions.bash"
build tsan
export TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1:second_deadlock_stack=1
TSAN_OPTIONS+=:external_symbolizer_path=/usr/bin/llvm-symbolizer-19
run_ctest tsan
finish_step
