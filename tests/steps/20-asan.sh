# sizes: ci full long
# AddressSanitizer and UndefinedBehaviorSanitizer: over core, sessions on both ends and what parses
# foreign bytes; over all tests with --full.
source "$REPO/tests/steps/functions.bash"
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1
export UBSAN_OPTIONS=print_stacktrace=1
if [ "$SIZE" = ci ]; then
  programs=(core_structures_test core_rules_test core_pool_test secret_test sealer_test config_test
    import_test rpc_text_test engine_lease_token_test engine_record_test session_test client_test
    client_threads_test sidecar_test)
  build asan "${programs[@]}"
  run_programs asan "${programs[@]}"
else
  build asan
  run_ctest asan
fi
finish_step
