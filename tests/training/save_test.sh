#!/usr/bin/env bash
# Saves: behind the steps and in front of them, by pwrite and by MPI-IO, killed at each named moment,
# and carried through layouts and numbers of ranks. Usage: save_test.sh MORAY SOURCE_DIR [MPIRUN...]
set -u
moray=$1 source=$2
shift 2
mpirun=("$@")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

check() { # check NAME CONDITION...
  if "${@:2}"; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAILED: $1"; fi
}
is() { [ "$1" = "$2" ] || { echo "  got '$1', expected '$2'" && false; }; }

# The learning rate does not depend on the length, so runs of different lengths share their bits.
deck=$source/input/tiny.yaml
settings=(learning_rate.schedule=constant output.log_every=1 batch.micro=1 "checkpoint.every=10 steps"
  checkpoint.keep_last=100)
# on RANKS ARGUMENTS...: trains on so many ranks; 1: without mpirun.
on() {
  local launcher=()
  [ "$1" = 1 ] || launcher=("${mpirun[@]}" -n "$1")
  "${launcher[@]}" "$moray" train "$deck" "${settings[@]}" "${@:2}" >>"$work/log" 2>&1
}
# Digests of every block of every tensor: weights, moments, biases, loads.
blocks() { printf '%s/checkpoints/step_%08d/blocks.xxh3' "$work/$1" "$2"; }
same() { # same RUN OTHER STEP...
  local step
  for step in "${@:3}"; do cmp "$(blocks "$1" "$step")" "$(blocks "$2" "$step")" || return 1; done
}
losses() { cut -d, -f1,5 "$work/$1/metrics.csv"; }
bytes_that_differ() { cmp -l "$1/checkpoint.h5" "$2/checkpoint.h5" | wc -l; }

# --- Behind the steps and in front of them -----------------------------------------------------------
on 1 --out "$work/waits" run.length=60 checkpoint.asynchronous=false
check "a run whose steps wait for their saves ends with 0" is $? 0
on 1 --out "$work/behind" run.length=60
check "a run that saves behind its steps ends with 0" is $? 0
check "  and each checkpoint has the bits of its step" same waits behind 10 20 30 40 50 60
check "  and the losses are those" is "$(losses behind)" "$(losses waits)"

# --- Killed at each named moment of a save behind the steps, the first 11 before it has its name ------
on 1 --out "$work/start" run.length=10
for point in begin folder_made laid_out block_written blocks_written digests_written blocks_synced all_digested \
  manifest_half manifest_written manifest_synced folder_synced renamed parent_synced; do
  cp -r "$work/start" "$work/$point"
  (MORAY_CHECKPOINT_DIE_AT=$point on 1 --out "$work/$point" --resume auto run.length=30) 2>/dev/null
  check "killed at $point" is $? 137
  check "  the checkpoint before is there" same waits "$point" 10
  [ "$point" = renamed ] || [ "$point" = parent_synced ] || check "  and no other" [ ! -e "$(blocks "$point" 20)" ]
  on 1 --out "$work/$point" --resume auto run.length=30
  check "  and the run goes on" is $? 0
  check "  to the same bits" same waits "$point" 10 20 30
  check "  and losses, no row twice" is "$(losses "$point")" "$(losses waits | head -n 31)"
  check "  and nothing is left over" is "$(ls "$work/$point/checkpoints" | grep -vc '^step_[0-9]*$')" 0
  rm -r "${work:?}/$point"
done

# --- MPI-IO ------------------------------------------------------------------------------------------
# The file holds the resolved deck, in which five bytes differ: posix, mpiio.
on 1 --out "$work/mpiio" run.length=20 checkpoint.io=mpiio
check "a run that saves by MPI-IO ends with 0" is $? 0
on 1 --out "$work/posix" run.length=20 checkpoint.io=posix
for step in 10 20; do
  check "  and its checkpoint $step has the same blocks" same posix mpiio $step
  check "  and the same file but for its deck" \
    [ "$(bytes_that_differ "$work"/{posix,mpiio}/checkpoints/step_000000$step)" -le 5 ]
done

if [ ${#mpirun[@]} -gt 0 ]; then
  # --- The same on several ranks ---------------------------------------------------------------------
  on 2 --out "$work/behind2" run.length=30
  check "2 ranks that save behind their steps end with 0" is $? 0
  check "  and each checkpoint has the bits of its step" same waits behind2 10 20 30
  on 2 --out "$work/mpiio2" run.length=20 checkpoint.io=mpiio
  check "2 ranks that save by MPI-IO end with 0" is $? 0
  check "  and each checkpoint has the bits of its step" same waits mpiio2 10 20
  for point in block_written blocks_synced; do
    cp -r "$work/start" "$work/$point"
    (MORAY_CHECKPOINT_DIE_AT=$point on 2 --out "$work/$point" --resume auto run.length=30) 2>/dev/null
    check "2 ranks killed at $point" [ $? -ne 0 ]
    on 2 --out "$work/$point" --resume auto run.length=30
    check "  go on to the same bits" same waits "$point" 10 20 30
  done

  # --- A chain of layouts: ranks, and how many share the experts -------------------------------------
  length=0
  for layout in "1 1" "2 1" "4 2" "4 4" "2 2" "1 1"; do
    read -r ranks expert <<<"$layout"
    length=$((length + 10))
    on "$ranks" --out "$work/chain" --resume auto run.length=$length parallel.expert="$expert"
    check "the chain reaches step $length on $ranks ranks, experts over $expert" is $? 0
    check "  with the same bits" same waits chain $length
  done
  check "the losses of the chain are those of one run" is "$(losses chain)" "$(losses waits)"
else
  echo "SKIPPED: several ranks: no mpirun"
fi
[ $failed -eq 0 ] || tail -n 40 "$work/log"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
