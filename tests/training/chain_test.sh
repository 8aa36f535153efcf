#!/usr/bin/env bash
# One run carried through pipelines: every step on another number of ranks, with another schedule, other
# data and expert ranks; saved by pwrite and by MPI-IO, behind the steps and in front of them, and killed
# in between. Bits and losses are those of one rank that was never stopped. And it ends with 5 when it must.
# Usage: chain_test.sh MORAY SOURCE_DIR MPIRUN...
set -u
moray=$1 source=$2
shift 2
mpirun=("$@")
[ ${#mpirun[@]} -gt 0 ] || { echo "SKIPPED: several ranks: no mpirun" && exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

check() { # check NAME CONDITION...
  if "${@:2}"; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAILED: $1"; fi
}
is() { [ "$1" = "$2" ] || { echo "  got '$1', expected '$2'" && false; }; }

# Deep enough for 8 stages with the module behind them, and with every kind of state.
deck=$source/input/tiny.yaml
settings=(model.layers=8 batch.sequences=16 batch.micro=1 learning_rate.schedule=constant optimizer.ema=0.1
  optimizer.moments=bf16 output.log_every=1 "checkpoint.every=2 steps" checkpoint.keep_last=100)
# on RANKS LAYOUT ARGUMENTS...: trains on so many ranks, laid out by letters and numbers as
# `moray verify` does it: p pipeline, e expert ranks, n nodes, then :schedule.
on() {
  local layout=$2 keys=() launcher=()
  [[ $layout =~ p([0-9]+) ]] && keys+=("parallel.pipeline=${BASH_REMATCH[1]}")
  [[ $layout =~ e([0-9]+) ]] && keys+=("parallel.expert=${BASH_REMATCH[1]}")
  [[ $layout =~ n([0-9]+) ]] && keys+=("parallel.nodes=${BASH_REMATCH[1]}")
  [[ $layout =~ :(.*) ]] && keys+=("parallel.schedule=${BASH_REMATCH[1]}")
  [ "$1" = 1 ] || launcher=("${mpirun[@]}" -n "$1")
  "${launcher[@]}" "$moray" train "$deck" "${settings[@]}" "${keys[@]}" "${@:3}" >>"$work/log" 2>&1 </dev/null
}
# Digests of every block of every tensor: weights, moments, average, biases, loads.
blocks() { printf '%s/checkpoints/step_%08d/blocks.xxh3' "$work/$1" "$2"; }
same() { # same RUN STEP...: as the undisturbed run
  local step
  for step in "${@:2}"; do cmp "$(blocks straight "$step")" "$(blocks "$1" "$step")" || return 1; done
}
losses() { cut -d, -f1,5 "$work/$1/metrics.csv"; }
# The file holds the resolved deck, in which five bytes differ: posix, mpiio.
bytes_that_differ() { cmp -l "$1/checkpoint.h5" "$2/checkpoint.h5" | wc -l; }

on 1 "" --out "$work/straight" run.length=22
check "an undisturbed run ends with 0" is $? 0

# --- Every two steps another layout --------------------------------------------------------------------
length=0
while read -r ranks layout how; do
  length=$((length + 2))
  read -ra keys <<<"$how"
  on "$ranks" "$layout" --out "$work/chain" --resume auto run.length=$length "${keys[@]}"
  check "the chain reaches step $length on $ranks ranks, $layout" is $? 0
  check "  with the same bits" same chain $length
done <<'LAYOUTS'
1 p1
2 p2:zb1p
8 p4e2n2:dualpipe checkpoint.io=mpiio
4 p2e2:dualpipev
4 p1e4
4 p4:1f1b checkpoint.io=mpiio checkpoint.asynchronous=false
2 p2:dualpipe checkpoint.io=mpiio
8 p2e4n2:1f1b
3 p3:dualpipev
4 p2e2:dualpipe checkpoint.asynchronous=false
1 p1
LAYOUTS
check "the losses of the chain are those of one run" is "$(losses chain)" "$(losses straight)"

# --- Saves of a pipeline -------------------------------------------------------------------------------
for how in io=posix io=mpiio asynchronous=false; do
  on 2 p2:dualpipe --out "$work/$how" run.length=6 checkpoint.$how
  check "a pipeline that saves with $how ends with 0" is $? 0
  check "  and each checkpoint has the bits of its step" same $how 2 4 6
done
check "both routes write the same file but for its deck" \
  [ "$(bytes_that_differ "$work"/io={posix,mpiio}/checkpoints/step_00000006)" -le 5 ]
for point in block_written blocks_synced; do
  cp -r "$work/io=posix" "$work/$point"
  (MORAY_CHECKPOINT_DIE_AT=$point on 2 p2:dualpipe --out "$work/$point" --resume auto run.length=12) 2>/dev/null
  check "a pipeline killed at $point" [ $? -ne 0 ]
  check "  has the checkpoint before" same $point 6
  check "  and no other" [ ! -e "$(blocks $point 8)" ]
  on 4 p2e2:zb1p --out "$work/$point" --resume auto run.length=12
  check "  goes on, on another one, to the same bits" same $point 8 10 12
  check "  and losses, no row twice" is "$(losses $point)" "$(losses straight | head -n 13)"
done

# --- A value that is not finite ------------------------------------------------------------------------
while read -r ranks layout; do
  on "$ranks" "$layout" --out "$work/nan$layout" learning_rate.peak=1e30 optimizer.clip=0
  check "values that are not finite end $layout with 5" is $? 5
  check "  and its status says why" grep -q '^failed: .*not finite' "$work/nan$layout/STATUS"
done <<'LAYOUTS'
2 p2:dualpipe
4 p2e2:zb1p
LAYOUTS

[ $failed -eq 0 ] || tail -n 40 "$work/log"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
