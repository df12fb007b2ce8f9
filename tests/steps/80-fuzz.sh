# sizes: ci full long
# libFuzzer with ASan and UBSan over the parsers: those of core and the configuration for a few
# seconds; every target for 60 s with --full, for 10^7 runs with --long. One case a target.
source "$REPO/tests/steps/functions.bash"
targets=(hints_fuzz policy_fuzz config_fuzz)
limit=(-max_total_time=10)
if [ "$SIZE" != ci ]; then
  targets+=(import_fuzz filter_fuzz lease_token_fuzz record_fuzz http_head_fuzz request_fuzz session_fuzz
    forward_auth_fuzz access_log_fuzz)
  limit=(-max_total_time=60)
fi
if [ "$SIZE" = long ]; then limit=(-runs=10000000); fi
build fuzz "${targets[@]}"
for target in "${targets[@]}"; do
  corpus=$BUILD_ROOT/fuzz/corpus/$target
  mkdir -p "$corpus"
  seeds=("$REPO/tests/fuzz/corpus/${target%_fuzz}")
  if [ ! -d "${seeds[0]}" ]; then seeds=(); fi
  log=$BUILD_ROOT/logs/$target.log
  if "$BUILD_ROOT/fuzz/bin/$target" "${limit[@]}" -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix="$BUILD_ROOT/fuzz/$target-" "$corpus" ${seeds[@]+"${seeds[@]}"} \
    >"$log" 2>&1; then
    case_ok "$target: $(sed -n 's/^stat::number_of_executed_units: //p' "$log") runs"
  else
    tail -n 40 "$log"
    case_failed "$target"
  fi
done
finish_step
