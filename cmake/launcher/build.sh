# shellcheck shell=bash disable=SC2154  # sourced by ../../moray, which sets root, preset, build, program
# Building in the launcher: configure once, build what changed, one at a time.

# Paths below the clone are relative for ccache, so that clones in other folders share its cache.
export CCACHE_BASEDIR=$root

# with_lock COMMAND...: runs COMMAND in a subshell that holds the lock of the build folder, so that
# two calls do not build over each other.
with_lock() {
  mkdir -p "$build"
  (
    if ! flock -n 9; then
      say "waiting for another build in $build"
      flock 9
    fi
    "$@" 9>&-
  ) 9>"$build/.lock"
}

# What CMake is asked for beside the preset.
configure() {
  local tests=$1
  shift
  command -v cmake >/dev/null || die "CMake was not found. It needs cmake >= 3.22, a C++20 compiler and ninja;" \
    "on a cluster load the modules: compiler, cmake, kokkos, mpi, hdf5 (parallel)"
  local options=(--preset "$preset" -S "$root" -B "$build" "-DMORAY_BUILD_TESTS=$tests" "$@")
  command -v ninja >/dev/null || options+=(-G "Unix Makefiles")
  command -v ccache >/dev/null && options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  (cd "$root" && cmake "${options[@]}") >&2 || exit 2
}

# configured TESTS: whether the build folder is configured, with the tests if TESTS is ON.
configured() {
  [ -e "$build/build.ninja" ] || [ -e "$build/Makefile" ] || return 1
  [ "$1" = OFF ] || grep -q '^MORAY_BUILD_TESTS:BOOL=ON$' "$build/CMakeCache.txt"
}

# As many jobs as cores, but 1.5 GiB of memory each.
job_count() {
  local cores memory
  cores=$(nproc 2>/dev/null || echo 1)
  memory=$(awk '/^MemAvailable/ {print int($2 / 1572864)}' /proc/meminfo 2>/dev/null || echo "$cores")
  [ "$memory" -ge 1 ] || memory=1
  echo $((memory < cores ? memory : cores))
}

# make_target TARGET: builds; says how much is to do, and nothing when nothing is.
make_target() {
  local steps quiet=()
  if [ -e "$build/build.ninja" ]; then
    # Reading the git hash, compiling it and linking it are always announced, and mostly not done.
    steps=$(ninja -n -C "$build" "$1" 2>/dev/null | grep -v -e git_hash -e Linking | grep -c '^\[' || true)
    if [ "$steps" -gt 0 ]; then say "building in $build"; else quiet=(-- --quiet); fi
  fi
  cmake --build "$build" --target "$1" -j "$(job_count)" "${quiet[@]}" >&2 || exit 2
}

# build_locked TESTS TARGET [cmake options]: packages and configuration if they are due, then the
# build. Runs under the lock.
build_locked() {
  local tests=$1 target=$2
  shift 2
  if [ $# -gt 0 ] || ! configured "$tests"; then
    if [ "$tests" = ON ]; then install_missing tests; else install_missing; fi
    # A folder that has the tests keeps them.
    if configured ON; then tests=ON; fi
    configure "$tests" "$@"
  fi
  make_target "$target"
}

build_target() { with_lock build_locked OFF "$1"; }

# ./moray build [--tests] [-D NAME=VALUE ...]
build_command() {
  local tests=OFF target=moray options=()
  while [ $# -gt 0 ]; do
    case $1 in
      --tests) tests=ON target=all ;;
      -D) options+=("-D${2:?-D needs NAME=VALUE}") && shift ;;
      -D*) options+=("$1") ;;
      *) die "build: unknown option '$1' (--tests, -D NAME=VALUE)" ;;
    esac
    shift
  done
  with_lock build_locked "$tests" "$target" "${options[@]}"
  say "built $program"
}

# ./moray clean
clean_command() {
  [ -e "$build" ] || return 0
  [ -e "$build/CMakeCache.txt" ] || [ -e "$build/.lock" ] || die "$build is not a build folder: not removed"
  with_lock rm -rf "$build"
}

# ./moray test [--long] [ctest options]: builds everything and runs ctest. A test that could not run
# prints a line 'SKIPPED: <why>', here repeated at the end.
test_command() {
  local options=()
  while [ $# -gt 0 ]; do
    case $1 in
      --long) export MORAY_TEST_LONG=1 ;;
      *) options+=("$1") ;;
    esac
    shift
  done
  with_lock build_locked ON all
  local status=0
  ctest --test-dir "$build" --output-on-failure -j "$(nproc 2>/dev/null || echo 1)" "${options[@]}" || status=$?
  local log=$build/Testing/Temporary/LastTest.log
  if grep -q '^ *SKIPPED: ' "$log" 2>/dev/null; then
    echo "Not run:"
    awk '/^[0-9]+\/[0-9]+ Test(ing)?: / {name = $NF} /^ *SKIPPED: / {sub(/^ *SKIPPED: /, ""); print "  " name ": " $0}' "$log" | sort -u
  fi
  return "$status"
}
