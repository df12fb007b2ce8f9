# sizes: ci full long
# The release build, warnings as errors, and every test of this size.
source "$REPO/tests/steps/functions.bash"
build release
run_ctest release
finish_step
