#!/usr/bin/env bash
# Training that is stopped in every way and resumed ends with the bits of an undisturbed run, on
# one rank and on others. Usage: restart_test.sh MORAY SOURCE_DIR [MPIRUN...]
set -u
moray=$1 source=$2
shift 2
mpirun=("$@")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

check() {  # check NAME CONDITION...
  if "${@:2}"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $1"; fi
}
is() { [ "$1" = "$2" ] || { echo "  got '$1', expected '$2'"; false; }; }

steps=400
deck=$source/input/tiny.yaml
# Logs every step, validates nothing until the end, and saves where the test says.
settings=(run.length=$steps "checkpoint.every=100 steps" output.log_every=1)
train() { "$moray" train "$deck" "${settings[@]}" "$@" >>"$work/log" 2>&1; }
train_on() { "${mpirun[@]}" -n "$1" "$moray" train "$deck" "${settings[@]}" "${@:2}" >>"$work/log" 2>&1; }
# Digests of every block of every tensor: weights, moments, biases, loads.
final=checkpoints/step_00000$steps/blocks.xxh3
same() { cmp -s "$work/straight/$final" "$work/$1/$final"; }
rows() { tail -n +2 "$work/$1/metrics.csv" | cut -d, -f1 | tr '\n' ' ' | sed 's/ $//'; }
losses() { cut -d, -f1,5 "$work/$1/metrics.csv"; }

train --out "$work/straight"
check "an undisturbed run ends with 0" is $? 0
check "its metrics have a row for each step" is "$(rows straight)" "$(seq -s' ' 1 $steps)"
check "its status is done" grep -q '^done' "$work/straight/STATUS"

# A signal in mid-run: saves, ends with 75, goes on.
"$moray" train "$deck" "${settings[@]}" --out "$work/signal" >>"$work/log" 2>&1 &
child=$!
for _ in $(seq 6000); do [ -s "$work/signal/metrics/current.rows" ] && break; sleep 0.01; done
kill -USR1 $child
wait $child
code=$?
check "a signal ends the run with 75" is $code 75
check "and its status is stopped" grep -q '^stopped' "$work/signal/STATUS"
train --out "$work/signal" --resume auto
check "the resumed run ends with 0" is $? 0
check "with the bits of the undisturbed one" same signal
check "and the same losses, no row twice" is "$(losses signal)" "$(losses straight)"

# kill -9 in mid-run: what is after the last checkpoint is run again.
"$moray" train "$deck" "${settings[@]}" --out "$work/killed" >>"$work/log" 2>&1 &
child=$!
for _ in $(seq 6000); do [ -d "$work/killed/checkpoints/step_00000100" ] && break; sleep 0.01; done
kill -9 $child
wait $child 2>/dev/null
train --out "$work/killed" --resume auto
check "a killed run resumes" is $? 0
check "to the same bits" same killed
check "and the same losses, no row twice" is "$(losses killed)" "$(losses straight)"

# From an older checkpoint, into a new folder, with other micro-batches and without recompute.
train --out "$work/other" --resume "$work/straight/checkpoints/step_00000300" batch.micro=1 run.recompute=false
check "another micro-batch goes on from a path" is $? 0
check "to the same bits" same other

# A time limit that is over at once.
train --out "$work/limit" --time-limit 00:00:00
train --out "$work/limit2" --time-limit 00:00:01 run.length=100000
check "a time limit ends with 75" is $? 75

# Answers to what must not be.
train --out "$work/straight"
check "a run in the way is an error" is $? 3
train --out "$work/straight" --resume auto run.seed=2
check "a changed fixed key is an error" is $? 2
check "which names it" grep -q 'run.seed' "$work/log"
check "and nothing was lost" same other
train --resume auto
check "auto needs the run's folder" is $? 2
train --out "$work/text" "data.sources=[{paths: [$work/none.txt]}]" data.synthetic=
check "missing data are an error" is $? 3
train --out "$work/broken" init.from="$work/nowhere"
check "a missing checkpoint is an error" is $? 3
check "and nothing is made" [ ! -e "$work/broken" ]
train --out "$work/pipe" parallel.expert=2 parallel.expert_lanes=4
check "layouts that cannot run are refused" is $? 2
train --out "$work/nan" learning_rate.peak=1e30 learning_rate.final=1e30 optimizer.clip=0 learning_rate.schedule=constant
check "values that are not finite end with 5" is $? 5
train --out "$work/init" init.from="$work/straight" run.length=2
check "init.from starts a new run" is $? 0

if [ ${#mpirun[@]} -gt 0 ]; then
  for ranks in 2 4; do
    train_on $ranks --out "$work/ranks$ranks" batch.micro=1
    check "$ranks ranks end with 0" is $? 0
    check "with the bits of one" same ranks$ranks
    check "and its losses" is "$(losses ranks$ranks)" "$(losses straight)"
    train_on $ranks --out "$work/moved$ranks" --resume "$work/straight/checkpoints/step_00000200" batch.micro=1
    check "$ranks ranks go on from one rank's checkpoint" is $? 0
    check "to the same bits" same moved$ranks
  done
  train --out "$work/moved1" --resume "$work/ranks2/checkpoints/step_00000200"
  check "one rank goes on from two ranks' checkpoint" same moved1
  for layout in "2 2" "4 2" "4 4"; do
    read -r ranks expert <<<"$layout"
    name=ranks${ranks}expert$expert
    train_on "$ranks" --out "$work/$name" batch.micro=1 parallel.expert="$expert"
    check "$ranks ranks that share the experts by $expert end with 0" is $? 0
    check "with the bits of one" same "$name"
    check "and its losses" is "$(losses "$name")" "$(losses straight)"
  done
  train_on 4 --out "$work/unshared" --resume "$work/ranks4expert4/checkpoints/step_00000200" batch.micro=1
  check "ranks with all experts go on from ranks that shared them" same unshared
  train_on 4 --out "$work/shared" --resume "$work/straight/checkpoints/step_00000200" batch.micro=1 parallel.expert=4
  check "ranks that share the experts go on from one rank" same shared
  train_on 2 --out "$work/ranks2"
  check "every rank returns the code of an error" is $? 3
else
  echo "SKIPPED: several ranks: no mpirun"
fi
[ $failed -eq 0 ] || cat "$work/log" | tail -40
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
