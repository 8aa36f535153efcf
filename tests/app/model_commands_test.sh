#!/bin/sh
# moray generate, evaluate and inspect on a model that was just trained: model_commands_test.sh MORAY REPOSITORY
set -eu
moray=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
deck=$2/input/tiny.yaml
cd "$work"
fail() { echo "FAILED: $*"; exit 1; }
# refused CODE COMMAND...: the command ends with this code and says something.
refused() {
  wanted=$1; shift
  code=0; "$moray" "$@" >out 2>err </dev/null || code=$?
  [ "$code" = "$wanted" ] || fail "moray $* ended with $code, not $wanted: $(cat err)"
  [ -s err ] || fail "moray $* says nothing"
}
"$moray" train "$deck" --out run run.length=4 samples.tokens=20 >log 2>&1 || fail "train: $(cat log)"
grep -q "sample at step 4" log || fail "no sample in the log"

"$moray" generate run --prompt "The " --tokens 30 --seed 5 >a 2>speed
grep -q "tokens/s" speed || fail "no speed"
head -c 4 a | grep -q "The " || fail "the text does not begin with the prompt"
[ "$(wc -c <a)" -gt 5 ] || fail "nothing was generated"
checkpoint=$(ls -d run/checkpoints/step_*)
printf 'The ' | "$moray" generate "$checkpoint" --tokens 30 --seed 5 >b 2>/dev/null
cmp a b || fail "the same seed, another text"
"$moray" generate run --prompt "The " --tokens 30 --greedy >g1 2>/dev/null
"$moray" generate run --prompt "The " --tokens 30 --temperature 0 --seed 9 >g2 2>/dev/null
cmp g1 g2 || fail "greedy text depends on the seed"
# A prompt longer than the context: said, and its end is read.
head -c 3000 /dev/zero | tr '\0' 'x' >long
"$moray" generate run --prompt-file long --tokens 2 >/dev/null 2>err
grep -q "prompt 1 of 1 has 3000 tokens, the context 32: only its end is read" err || fail "a long prompt is cut silently"

# Several prompts: each has the text that it has alone, whatever the batch.
printf 'The \nA model of\nzz' >prompts
"$moray" generate run --prompts prompts --tokens 40 --seed 5 --json >batch 2>/dev/null
"$moray" generate run --prompts prompts --tokens 40 --seed 5 --json --batch 2 >pairs 2>/dev/null
"$moray" generate run --prompt "The " --prompt "A model of" --prompt zz --tokens 40 --seed 5 --json --batch 1 >single
sed -n '/"results"/,/"seconds"/{/"seconds"/!p}' batch >texts
for other in pairs single; do
  sed -n '/"results"/,/"seconds"/{/"seconds"/!p}' $other | cmp - texts || fail "a text depends on those beside it"
done
"$moray" generate run --prompts - --tokens 40 --seed 5 <prompts >several 2>speed
grep -q "^=== prompt 3 of 3$" several || fail "no third prompt: $(cat several)"
grep -q "16 + 8 = 24 elements a token and layer; 2 layers, 3 sequences of 32 positions: 18.0 KiB" speed ||
  fail "the cache is not as described: $(cat speed)"
grep -q "^3 prompts: 16 tokens read, 120 made in .* tokens/s" speed || fail "wrong counts: $(cat speed)"

# Every byte of a text is predicted once; an untrained model of 260 tokens knows little.
"$moray" evaluate run "$deck" long --json >scores
grep -q '"tokens": 3000' scores || fail "not every byte was scored: $(cat scores)"
"$moray" evaluate run "$deck" | grep -q "tiny.yaml" || fail "no table of scores"

"$moray" inspect run >text
grep -q "status done" text || fail "no status: $(cat text)"
grep -q "model/embed_tokens/weight .* float32" text || fail "no tensors: $(cat text)"
grep -q "optimizer/" text && fail "the optimizer was not asked for"
"$moray" inspect "$checkpoint" --all --json >json
grep -q '"step": 4' json || fail "no step: $(cat json)"
grep -q "optimizer/m/" json || fail "no optimizer"
grep -q '"max_violation"' json || fail "no loads"

grep -q "experts in 4 logged steps, 1 to 4; dead: below 0.01" text || fail "no balance: $(cat text)"
grep -q "0 of 4 dead" text || fail "no dead experts counted: $(cat text)"
"$moray" inspect run --dead 1 | grep -q "[123] of 4 dead" || fail "no expert is below the mean"
"$moray" inspect run --window 2 | grep -q "2 logged steps, 3 to 4" || fail "no window"

# Two runs of one deck are equal, another seed's is not, and damage is refused.
"$moray" train "$deck" --out again run.length=4 >log 2>&1 || fail "train: $(cat log)"
"$moray" train "$deck" --out other run.length=4 run.seed=2 >log 2>&1 || fail "train: $(cat log)"
"$moray" inspect run again --diff --all >diff || fail "equal checkpoints differ: $(cat diff)"
grep -q "139 with equal bits, 0 not" diff || fail "not all tensors compared: $(tail -n 1 diff)"
code=0; "$moray" inspect --diff run other --json >diff || code=$?
[ $code = 5 ] || fail "checkpoints of two seeds: code $code"
grep -q '"equal": false' diff || fail "no difference found"
cp -r other damaged
file=$(echo damaged/checkpoints/*/checkpoint.h5)
printf 'x' | dd of="$file" bs=1 seek=$(($(wc -c <"$file") - 3)) conv=notrunc 2>/dev/null
refused 3 inspect --diff run damaged --all
refused 3 inspect damaged --all
refused 2 inspect --diff run
refused 2 inspect run again
refused 2 inspect run --window 0
refused 2 inspect run --dead 2
# The page of a run, and what is no run or no page. tests/inspection looks at it in a browser.
"$moray" inspect --html page.html run | grep -q "page.html: 1 run" || fail "no page"
grep -q "</html>" page.html || fail "the page has no end"
"$moray" inspect run --html two.html other | grep -q "2 runs" || fail "no page of two runs"
refused 3 inspect --html page.html "$work/nowhere"
refused 3 inspect --html "$work/nowhere/page.html" run
refused 2 inspect --html page.html run --json
refused 2 inspect --html page.html run other --diff
# What a killed run did not come to: its rows in one file.
mkdir joined; mv run/metrics.h5 run/metrics.csv joined
"$moray" inspect run --join >/dev/null
cmp run/metrics.csv joined/metrics.csv || fail "--join wrote other rows"
[ -s run/metrics.h5 ] || fail "--join wrote no metrics.h5"
refused 2 inspect "$checkpoint" --join
# A run that has not saved yet has rows only.
rm -r again/checkpoints/*
"$moray" inspect again >text || fail "a run without checkpoints is refused"
grep -q "^checkpoint" text && fail "a checkpoint from nowhere"
refused 3 inspect --diff again run

refused 3 evaluate run nowhere
refused 2 evaluate run
refused 3 inspect "$work/nowhere"
refused 3 generate "$work/nowhere" --prompt a
refused 3 generate "$work" --prompt a
refused 2 generate run
refused 2 generate run --prompt ""
refused 2 generate run --prompt a --prompt-file prompts
refused 2 generate run --prompt a --prompts prompts
refused 2 generate run --prompt a --batch 0
printf 'a\n\nb\n' >gap
refused 2 generate run --prompts gap
refused 2 generate run --prompts /dev/null
refused 3 generate run --prompts nowhere
refused 2 generate run --prompt a --top-p 0
refused 2 generate run --prompt a --tokens -1
refused 3 generate run --prompt-file nowhere
echo "all right"
