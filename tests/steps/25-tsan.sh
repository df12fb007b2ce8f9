# sizes: ci full long
# ThreadSanitizer, built by clang with warnings (thread-safety included) as errors: over the engine,
# the store, sessions on both ends and the HTTP listener; over all tests with --full. The packaged
# gRPC and abseil are not instrumented: reports about their own memory are ignored, ours are found.
source "$REPO/tests/steps/functions.bash"
export TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1:second_deadlock_stack=1
TSAN_OPTIONS+=:external_symbolizer_path=/usr/bin/llvm-symbolizer-19
if [ "$SIZE" = ci ]; then
  programs=(engine_engine_test engine_committer_test engine_batch_test engine_restart_test
    store_contract_test http_test session_test client_test client_threads_test)
  build tsan "${programs[@]}"
  run_programs tsan "${programs[@]}"
else
  build tsan
  run_ctest tsan
fi
finish_step
