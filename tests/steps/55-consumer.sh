# sizes: ci full long
# Installs the client library and builds a project of its own against it, as its users do.
source "$REPO/tests/steps/functions.bash"
build release credbroker_client credbroker_grpc
place=$BUILD_ROOT/consumer
rm -rf "$place"
mkdir -p "$place"

if cmake --install "$BUILD_ROOT/release" --prefix "$place/prefix" --component client_development; then
  case_ok "the client library is installed"
else
  case_failed "the client library is installed"
  finish_step
fi

if [ -z "$(find "$place/prefix" -path '*session/*' -o -name 'records*' -o -name '*.cc')" ]; then
  case_ok "nothing private is installed"
else
  case_failed "nothing private is installed"
fi

if grep -rqF "$REPO" "$place/prefix/lib" --include='*.cmake'; then
  case_failed "the package names no folder of the build"
else
  case_ok "the package names no folder of the build"
fi

if cmake -S "$REPO/tests/client/consumer" -B "$place/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$place/prefix" && ninja -C "$place/build" -j "$JOBS"; then
  case_ok "a project of its own finds and links it"
else
  case_failed "a project of its own finds and links it"
  finish_step
fi

if timeout 30 "$place/build/consumer"; then
  case_ok "its program says that there is no broker"
else
  case_failed "its program says that there is no broker"
fi
finish_step
