# sizes: ci full long
# AddressSanitizer and UndefinedBehaviorSanitizer over the tests.
source "$REPO/tests/steps/functions.bash"
build asan
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1
export UBSAN_OPTIONS=print_stacktrace=1
run_ctest asan
finish_step
