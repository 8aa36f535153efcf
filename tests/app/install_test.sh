#!/bin/bash
# install_test.sh BUILD SOURCE: installs the build, then configures, builds and runs a project that
# finds it with find_package(moray).
set -euo pipefail
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"
"$work/prefix/bin/moray" --version
cmake -S "$source/tests/app/consumer" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DCMAKE_CXX_COMPILER="$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")" >"$work/configure.log"
cmake --build "$work/consumer"
output=$("$work/consumer/consumer")
echo "$output"
[[ $output == "moray "*", sum 0.5" ]]
# Nothing of the source or build folder may be named by what was installed.
! grep -rlE "$build|$source/" "$work/prefix/lib" "$work/prefix/include" --include='*.cmake' --include='*.hpp'
