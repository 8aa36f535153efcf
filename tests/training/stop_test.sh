#!/usr/bin/env bash
# A run that is asked to stop or to save does so, alone and under mpirun, and whatever ends it leaves
# a checkpoint from which it goes on with the bits of an undisturbed run.
# Usage: stop_test.sh MORAY SOURCE_DIR [MPIRUN...]
set -u
moray=$1 source=$2
shift 2
mpirun=("$@")
work=$(mktemp -d)
child=
# shellcheck disable=SC2317  # called by the trap
cleanup() {
  [ -z "$child" ] || kill -9 "$child" 2>/dev/null
  rm -rf "$work"
}
trap cleanup EXIT
passed=0 failed=0

check() { # check NAME CONDITION...
  if "${@:2}"; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAILED: $1"; fi
}
is() { [ "$1" = "$2" ] || { echo "  got '$1', expected '$2'" && false; }; }

# The learning rate does not depend on the length, so runs of different lengths share their bits.
deck=$source/input/tiny.yaml
settings=(learning_rate.schedule=constant output.log_every=1 batch.micro=1 checkpoint.keep_last=2)
endless=(run.length=1000000 "checkpoint.every=20 steps")
unsaved=(run.length=1000000 "checkpoint.every=0")

# on RANKS ARGUMENTS...: trains on so many ranks; 1: without mpirun.
on() {
  local launcher=()
  [ "$1" = 1 ] || launcher=("${mpirun[@]}" -n "$1")
  exec "${launcher[@]}" "$moray" train "$deck" "${settings[@]}" "${@:2}" >>"$work/log" 2>&1
}
# within SECONDS CONDITION...
within() {
  local end=$((SECONDS + $1))
  until "${@:2}"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.02
  done
}
checkpoints() { find "$work/$1/checkpoints" -maxdepth 1 -name 'step_????????' -printf '%f\n' 2>/dev/null | sort; }
newest() { checkpoints "$1" | tail -n 1; }
has_checkpoint() { [ -n "$(newest "$1")" ]; }
has_rows() { [ -s "$work/$1/metrics/current.rows" ]; }
ended() { ! kill -0 "$child" 2>/dev/null; }
# Children of mpirun: the ranks.
a_rank() { pgrep -P "$child" | tail -n 1; }

# begin NAME RANKS ARGUMENTS...: in the background.
begin() {
  on "$2" --out "$work/$1" "${@:3}" &
  child=$!
}
# finish: waits for the end; `code` is how it ended.
finish() {
  within 60 ended || { echo "  does not end" && kill -9 "$child"; }
  wait "$child" 2>/dev/null
  code=$?
  child=
}

# goes_on NAME RANKS: from what NAME left, 15 steps further, to the bits of an undisturbed run.
goes_on() {
  local step=$((10#$(newest "$1" | cut -d_ -f2) + 15))
  (on "$2" --out "$work/$1" --resume auto run.length=$step) || { echo "  cannot go on" && return 1; }
  [ -d "$work/straight$step" ] || (on 1 --out "$work/straight$step" run.length=$step) || return 1
  local last
  last=checkpoints/$(printf 'step_%08d' $step)/blocks.xxh3
  cmp "$work/straight$step/$last" "$work/$1/$last" &&
    is "$(cut -d, -f1,5 "$work/$1/metrics.csv")" "$(cut -d, -f1,5 "$work/straight$step/metrics.csv")"
}

# --- What saves and stops: a signal to whoever started the ranks, or to one of them ----------------
stopped_by() { # stopped_by NAME RANKS SIGNAL WHOM
  local whom
  begin "$1" "$2" "${endless[@]}"
  within 60 has_checkpoint "$1"
  whom=$child
  [ "$4" = "the program" ] || whom=$(a_rank)
  kill "-$3" "$whom"
  finish
  check "SIG$3 to $4, $2 rank(s): 75" is $code 75
  check "  and STATUS says stopped" grep -q '^stopped' "$work/$1/STATUS"
  check "  and the run goes on to the same bits" goes_on "$1" "$2"
}
stopped_by usr1 1 USR1 "the program"
stopped_by term 1 TERM "the program"
stopped_by int 1 INT "the program"

# --- What saves and goes on, with no checkpoint until then ------------------------------------------
saved_by() { # saved_by NAME RANKS (a signal, or the file)
  begin "$1" "$2" "${unsaved[@]}"
  within 60 has_rows "$1"
  check "nothing is saved before it is asked for" is "$(newest "$1")" ""
  if [ "$3" = file ]; then touch "$work/$1/CHECKPOINT_NOW"; else kill "-$3" "$child"; fi
  check "$3, $2 rank(s): saves" within 60 has_checkpoint "$1"
  check "  and goes on" kill -0 "$child"
  check "  and takes the file away" [ ! -e "$work/$1/CHECKPOINT_NOW" ]
  kill -USR1 "$child"
  finish
  check "  and stops when that is asked for" is $code 75
  check "  and the run goes on to the same bits" goes_on "$1" "$2"
}
saved_by file1 1 file
saved_by usr2 1 USR2

# --- The time limit -----------------------------------------------------------------------------------
limited() { # limited NAME RANKS
  local before=$SECONDS
  (on "$2" --out "$work/$1" --time-limit 00:00:04 "${unsaved[@]}")
  check "the time limit, $2 rank(s): 75" is $? 75
  check "  in time" [ $((SECONDS - before)) -le 15 ]
  check "  with a checkpoint" has_checkpoint "$1"
  check "  from which the run goes on to the same bits" goes_on "$1" "$2"
}
limited limit1 1

# --- What ends at once, and keeps the checkpoint before ---------------------------------------------
# Steps of many seconds: the second Ctrl-C comes within the same one.
slow=(batch.sequences=8192 batch.micro=2)
(on 1 --out "$work/twice" run.length=2)
digests() { (cd "$work/twice" && find checkpoints -type f -exec sha256sum {} + | sort); }
before=$(digests)
on 1 --out "$work/twice2" init.from="$work/twice" run.length=10 "${slow[@]}" &
child=$!
within 60 test -e "$work/twice2/STATUS"
within 60 grep -q 'micro-batches' "$work/twice2/log.txt"
begun=$SECONDS
kill -INT $child
sleep 0.5
check "one Ctrl-C waits for the end of the step" kill -0 $child
kill -INT $child
finish
check "a second Ctrl-C ends at once" [ $((SECONDS - begun)) -le 5 ]
check "  with 130" is $code 130
check "  and touches no checkpoint" is "$(digests)" "$before"

if [ ${#mpirun[@]} -gt 0 ]; then
  stopped_by usr1_mpirun 2 USR1 "the program"
  stopped_by usr1_rank 2 USR1 "one rank"
  stopped_by term_rank 2 TERM "one rank"
  saved_by file2 2 file
  saved_by usr2_mpirun 2 USR2
  limited limit2 2
  # mpirun passes INT and TERM on and kills its ranks a second later, whatever they do.
  for signal in INT TERM KILL; do
    begin "mpirun_$signal" 2 "${endless[@]}"
    within 60 has_checkpoint "mpirun_$signal"
    ranks=$(pgrep -P $child)
    kill -$signal $child
    finish
    check "SIG$signal to mpirun ends it" [ $code -ne 0 ]
    for rank in $ranks; do kill -9 "$rank" 2>/dev/null; done # those of a killed mpirun may go on for a moment
    check "  and the checkpoint is intact: the run goes on to the same bits" goes_on "mpirun_$signal" 2
  done
  # One rank is killed; the run is resumed while the others still end.
  begin one_killed 2 "${endless[@]}"
  within 60 has_checkpoint one_killed
  kill -9 "$(a_rank)"
  check "a run whose ranks are still ending goes on in the same second" goes_on one_killed 1
  finish
  check "  and the killed job has failed" [ $code -ne 0 ]
else
  echo "SKIPPED: several ranks: no mpirun"
fi
[ $failed -eq 0 ] || tail -n 40 "$work/log"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
