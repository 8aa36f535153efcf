#!/bin/bash
# launcher_test.sh SOURCE: the launcher with a program and tools that only say what they were asked.
# The tree is a copy of the launcher and its helpers; PATH begins with a folder of fakes.
set -uo pipefail
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# A tree with a program that is up to date, and fakes for everything that builds, installs or starts.
mkdir -p "$work/tree/cmake" "$work/bin" "$work/tree/build/app"
cp "$source/moray" "$work/tree/"
cp -r "$source/cmake/launcher" "$work/tree/cmake/"
fake() { # fake NAME BODY: a program of that name that logs its call and runs BODY
  printf '#!/bin/bash\necho "%s $*" >>"%s/calls"\n%s\n' "$1" "$work" "$2" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}
program() { # program TEXT: the program answers launch-info with TEXT
  cat >"$work/tree/build/app/moray" <<END
#!/bin/bash
if [ "\$1" = launch-info ]; then [ -n "$1" ] && echo "$1" && exit 0; exit 2; fi
echo "program \$* | \$OMP_NUM_THREADS \$OPENBLAS_NUM_THREADS \$OMP_PROC_BIND"
END
  chmod +x "$work/tree/build/app/moray"
}
mpirun_of() { fake mpirun "if [ \"\$1\" = --version ]; then echo 'mpirun (Open MPI) $1'; fi"; }
fake cmake ""
fake ninja ""
fake apt-get ""
fake sudo "exit 1"
touch "$work/tree/build/build.ninja" "$work/tree/build/CMakeCache.txt"
program "ranks=1 threads=1"
mpirun_of 4.1.4

# run NAME=VALUE... ARGUMENTS: runs the launcher with a clean environment; sets output, status, calls.
run() {
  local environment=()
  while [[ ${1:-} == [A-Z]*=* ]]; do environment+=("$1") && shift; done
  rm -f "$work/calls"
  output=$(env -i HOME="$work" PATH="$work/bin:$PATH" "${environment[@]}" "$work/tree/moray" "$@" 2>&1 </dev/null)
  status=$?
  calls=$(cat "$work/calls" 2>/dev/null)
}
expect() { # expect WHAT CONDITION...
  local what=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED: %s\n  status %s\n  output %s\n  calls %s\n' "$what" "$status" "$output" "$calls"
  fi
}
says() { [[ $output == *"$1"* ]]; }
called() { [[ $calls == *"$1"* ]]; }
not() { ! "$@"; }
fails_with() { [ "$status" = "$1" ]; }

# --- Under a job launcher it never installs or builds -------------------------------------------
for environment in OMPI_COMM_WORLD_SIZE=2 PMIX_RANK=0 PMI_RANK=0; do
  run "$environment" train deck.yaml
  expect "$environment: the program runs" says "program train deck.yaml"
  expect "$environment: nothing is built" test -z "$calls"
done
run SLURM_PROCID=1 SLURM_STEP_ID=0 train deck.yaml
expect "srun: nothing is built" test -z "$calls"
run SLURM_PROCID=0 train deck.yaml
expect "a batch script may build" called "cmake --build"
run SLURM_PROCID=0 SLURM_STEP_ID=4294967291 train deck.yaml
expect "Slurm's batch step may build" called "cmake --build"
run OMPI_COMM_WORLD_SIZE=2 MORAY_BUILD="$work/none" train deck.yaml
expect "no program under mpirun: says so" says "build first"
expect "no program under mpirun: exit 2" fails_with 2
expect "no program under mpirun: nothing is built" test -z "$calls"
run OMPI_COMM_WORLD_SIZE=2 test
expect "no tests under mpirun" fails_with 2

# --- Alone it builds the program, not the tests --------------------------------------------------
run train deck.yaml a.b=c
expect "builds the program" called "--target moray"
expect "passes arguments on" says "program train deck.yaml a.b=c | 1 1"
expect "does not configure again" not called "--preset"
expect "installs nothing" not called "apt-get"
run --help
expect "--help builds nothing" test -z "$calls"
fake cmake "exit 1"
run train deck.yaml
expect "a failed build runs nothing" not says "program train"
expect "a failed build: exit 2" fails_with 2
fake cmake ""

# --- Ranks ---------------------------------------------------------------------------------------
run -n 500 train deck.yaml
expect "-n: ranks" called "mpirun -n 500"
expect "more ranks than cores, Open MPI 4" called "--oversubscribe --bind-to none"
expect "-n is not the program's" not called "train deck.yaml -n"
run train deck.yaml -n 500
expect "-n behind the command" called "mpirun -n 500"
run check deck.yaml --ranks 4
expect "--ranks is the program's" says "program check deck.yaml --ranks 4"
run -n none train deck.yaml
expect "-n wants a number" fails_with 2
run train deck.yaml -n
expect "-n wants an argument" fails_with 2
mpirun_of 5.0.7
run -n 500 train deck.yaml
expect "more ranks than cores, Open MPI 5" called "--map-by :OVERSUBSCRIBE --bind-to none"
program "ranks=300 threads=2"
run train deck.yaml
expect "the deck's ranks" called "mpirun -n 300"
run -n 1 train deck.yaml
expect "-n 1 over the deck" not called "mpirun -n"
expect "the deck's threads" says "| 2 2"
run OMP_NUM_THREADS=3 -n 1 train deck.yaml
expect "OMP_NUM_THREADS over the deck" says "| 3 3"
if [ "$(nproc)" -ge 2 ] && [ "$(sort -u /sys/devices/system/cpu/cpu[01]/topology/thread_siblings_list | wc -l)" -ge 2 ]; then
  program "ranks=2 threads=1"
  run train deck.yaml
  expect "a core for every rank" called "--map-by slot:PE=1 --bind-to core"
fi
program ""
run train broken.yaml
expect "a deck that launch-info refuses goes to the program" says "program train broken.yaml"

# --- Two builds wait for each other --------------------------------------------------------------
fake cmake "sleep 0.3; echo end >>$work/calls"
rm -f "$work/calls"
for _ in 1 2; do env -i PATH="$work/bin:$PATH" "$work/tree/moray" build >/dev/null 2>&1 & done
wait
calls=$(cut -c 1-5 "$work/calls" | grep -v ninja | paste -sd' ')
expect "builds take a lock" test "$calls" = "cmake end cmake end"
fake cmake ""

# --- Packages --------------------------------------------------------------------------------------
rm "$work/tree/build/build.ninja"
fake dpkg-query "exit 0"
fake id "echo 0"
run train deck.yaml
if [[ $(. /etc/os-release && echo "$ID-$VERSION_ID") == debian-1[23] ]]; then
  expect "says what it installs" says "installing with apt-get: g++ cmake"
  expect "installs it" called "install --no-install-recommends g++ cmake"
  expect "the program does not need the tests' packages" not called "catch2"
  expect "known names need no update" not called "apt-get -q -y -o DPkg::Lock::Timeout=600 update"
  expect "configures without the tests" called "-DMORAY_BUILD_TESTS=OFF"
  fake apt-get '[ "$1" != -s ]' # a simulation fails where a name is unknown
  run train deck.yaml
  expect "unknown names: one update first" called "update"
  fake id "echo 1000"
  run train deck.yaml
  expect "without root it says what is missing" says "cannot be (no root"
  expect "without root it still configures" called "--preset default"
  expect "without root it installs nothing" not called "apt-get"
  run MORAY_INSTALL=no Kokkos_ROOT=/opt/kokkos train deck.yaml
  expect "a Kokkos of one's own replaces the package" not says "kokkos"
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
