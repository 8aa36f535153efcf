"""Schedules planned from the durations that a run measured (moray plan --measured): tiny runs on ranks, and what is planned
from them beside what this file works out from their timelines. Usage: measured_test.py MORAY REPOSITORY [MPIRUN...]; 77 means
skipped."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

MORAY, REPOSITORY = (os.path.abspath(path) for path in sys.argv[1:3])
MPIRUN = sys.argv[3:]
if not MPIRUN:
    print("SKIPPED: no mpirun")
    sys.exit(77)
DECK = os.path.join(REPOSITORY, "input", "dualpipe.yaml")
SMALL = [f"data.sources=[{{paths: [{REPOSITORY}/docs/*.md]}}]", "run.length=2", "model.width=32", "model.dense_width=48", "attention.heads=2",
         "moe.width=16", "batch.sequences=16", "batch.length=32", "attention.max_length=32", "parallel.data=1", "parallel.expert=1",
         "parallel.nodes=auto", "parallel.traffic=auto", "parallel.lanes=16", "parallel.expert_lanes=16", "validation.windows=4",
         "checkpoint.every=0"]
SORTS = ("forward_ms", "input_gradient_ms", "weight_gradient_ms", "overlapped_ms")


def run(*command, code=0):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
    return done.stderr if code else done.stdout


def train(out, ranks, *changes):
    run(*MPIRUN[:1], "-n", str(ranks), *MPIRUN[1:], MORAY, "train", DECK, "--out", out, *SMALL, *changes)


def plan(folder, *options):
    return json.loads(run(MORAY, "plan", os.path.join(folder, "resolved.yaml"), "--measured", folder, "--json", *options))["schedules"]


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def timeline_of(folder):
    return load(os.path.join(folder, "traces", "step_00000002.timeline.json"))


def median(values):
    return sorted(values)[len(values) // 2]


def near(a, b, part=1e-9):
    return abs(a - b) <= part * max(abs(a), abs(b), 1)


def durations_by_hand(timeline):
    """[(F, B, W)] of the stages of DualPipe in ms, of ops alone: rank r has stage r as chunk 0 and P-1-r as chunk 1."""
    ranks = timeline["pipeline"]
    samples = [{"F": [], "B": [], "W": []} for _ in range(ranks)]
    for place, (ops, times) in enumerate(zip(timeline["ops"], timeline["ranks"])):
        for op, start, end in zip(ops, times["start_us"], times["end_us"]):
            found = re.fullmatch(r"([FBW])(\d):\d+", op)
            if found:
                stage = place if found[2] == "0" else ranks - 1 - place
                samples[stage][found[1]].append((end - start) / 1000)
    return [tuple(median(s[kind]) for kind in "FBW") for s in samples]


def check_same(timeline, measured, same):
    """What ran is planned as its timeline has it, which rounds its times; beside it stands what was measured, where all that is
    outside of ops is waiting."""
    shares = timeline["shares"]
    assert near(same["step_ms"], timeline["planned_length_us"] / 1000, 1e-3), (same, timeline["planned_length_us"])
    assert near(same["waiting_ms"] / same["step_ms"], shares["planned_bubble"], 1e-3), (same, shares)
    assert measured["step_ms"] == timeline["length_us"] / 1000
    assert near(measured["waiting_ms"] / measured["step_ms"], shares["bubble"] + shares["stages"], 1e-3), (measured, shares)


def check_dualpipe():
    timeline = timeline_of("ran")
    schedules = plan("ran", "--schedule", "all")
    measured = schedules["durations"]["measured"]
    assert [measured[key] for key in ("run", "step", "schedule", "pipeline", "micro_batches", "stages", "unlike")] == \
        ["ran", 2, "dualpipe", 4, 16, "2x2,3,1", []], measured
    stages = measured["stage_durations"]
    assert all(s["overlapped_measured"] and s["gradients_parted"] for s in stages), stages
    for stage, by_hand in zip(stages, durations_by_hand(timeline)):
        assert all(near(stage[sort], value) for sort, value in zip(SORTS, by_hand)), (stage, by_hand)
    # Of the layout that ran: exactly what was measured.
    plans = {p["name"]: p for p in schedules["plans"]}
    assert list(plans) == ["1f1b", "zb1p", "dualpipe", "dualpipev"]
    assert [name for name, p in plans.items() if p["ran"]] == ["dualpipe"]
    alike = [plan("ran", "--schedule", name, "--stages", "2x2,3,1")["plans"][0] for name in ("1f1b", "zb1p")]
    for p in [plans["dualpipe"]] + alike:
        assert p["stages"] == "2x2,3,1" and p["ran"] == (p["name"] == "dualpipe")
        assert p["stage_durations"] == [{sort: s[sort] for sort in SORTS} for s in stages], (p, stages)
    check_same(timeline, measured, plans["dualpipe"])
    # Half-size stages: no time is lost. The first two are a whole one of the run.
    halves = plans["dualpipev"]
    assert halves["stages"] == "1x4,2,1x2,0" and len(halves["stage_durations"]) == 8, halves
    for sort in SORTS:
        took = [s[sort] for s in halves["stage_durations"]]
        assert near(sum(took), sum(s[sort] for s in stages)), (sort, took, stages)
        assert near(took[0] + took[1], stages[0][sort]) and near(took[2] + took[3], stages[1][sort]), (sort, took, stages)
        assert near(took[6] + took[7], stages[3][sort]), (sort, took, stages)
        assert near(took[4] + took[5], stages[2][sort]), (sort, took, stages)
    text = run(MORAY, "plan", "ran/resolved.yaml", "--measured", "ran", "--schedule", "all")
    rows = text[text.index("\nschedules on 4"):].splitlines()
    at = next(i for i, row in enumerate(rows) if row.startswith("  dualpipe "))
    assert rows[at + 1].split()[:2] == ["measured", f"{measured['step_ms']:.5g}"], rows
    assert sum(row.startswith("    measured ") for row in rows) == 1
    assert "(times from step 2 of ran, of 1/P of the model:\n" in text and "\nmeasured in step 2: dualpipe on 4 pipeline ranks, 16 micro-batches" in text
    assert "F + B + W" not in text and "a half each" not in text and "had" not in text[text.index("measured in"):], text
    # Other sizes are planned from the same times, but are not what ran.
    for options in (("--micro-batches", "20"), ("--pipeline", "2"), ("--stages", "3,2,2,1"), ("--stages", "equal"), ("parallel.stages=3,2,2,1",)):
        (other,) = plan("ran", "--schedule", "dualpipe", *options)["plans"]
        assert not other["ran"] and other["step_ms"] > 0, (options, other)
        assert (options[-1] == "equal") == (len({tuple(s.values()) for s in other["stage_durations"]}) == 1), other
        if "3,2,2,1" in options[-1]:
            assert other["stages"] == "3,2x2,1", other
    # The deck's own schedule when none is named.
    assert [p["name"] for p in plan("ran")["plans"]] == ["dualpipe"]


def check_1f1b():
    """Two pipelines side by side. What they did not measure on its own is said."""
    schedules = plan("plain", "--schedule", "1f1b")
    check_same(timeline_of("plain"), schedules["durations"]["measured"], schedules["plans"][0])
    schedules = plan("plain", "--schedule", "all", "run.threads=2")
    measured = schedules["durations"]["measured"]
    assert measured["unlike"] == ["run.threads 1, not 2"], measured
    assert [p["name"] for p in schedules["plans"] if p["ran"]] == ["1f1b"]
    for s in measured["stage_durations"]:
        assert not s["overlapped_measured"] and not s["gradients_parted"], s
        assert s["input_gradient_ms"] == s["weight_gradient_ms"] and near(s["overlapped_ms"], sum(s[sort] for sort in SORTS[:3])), s
    text = run(MORAY, "plan", "plain/resolved.yaml", "run.threads=2", "--measured", "plain", "--schedule", "dualpipe")
    for line in ("  F&B of all stages is F + B + W: the run overlapped none there\n",
                 "  B and W of all stages are a half each of both: the run did not part them there\n",
                 "  the run, and so the times, had run.threads 1, not 2\n"):
        assert line in text, (line, text)


def check_one_rank():
    """A run without a pipeline measures one stage; its layers are dealt over those of any pipeline."""
    schedules = plan("one", "--schedule", "all", "--pipeline", "2", "--micro-batches", "8")
    (whole,) = schedules["durations"]["measured"]["stage_durations"]
    for p in schedules["plans"]:
        assert len(p["stage_durations"]) == (4 if p["name"] == "dualpipev" else 2), p
        assert near(sum(s["forward_ms"] for s in p["stage_durations"]), whole["forward_ms"]), p
    (alone,) = plan("one")["plans"]
    assert alone["ran"] and alone["name"] == "1f1b" and alone["waiting_ms"] == 0, alone


def refused(code, says, *arguments):
    said = run(MORAY, "plan", *arguments, code=code)
    assert said == says + "\n", (said, says)


def changed(name, **values):
    """A copy of the run whose timeline has other values."""
    shutil.copytree("ran", name)
    path = os.path.join(name, "traces", "step_00000002.timeline.json")
    timeline = load(path)
    timeline.update(values)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(timeline, file)
    return path


def check_errors():
    deck = "ran/resolved.yaml"
    ask = ("--schedule", "all", "--measured")
    needs = "--schedule needs one of --durations F,B,W,FB, --hardware FILE and --measured RUN"
    refused(2, needs, deck, *ask, "ran", "--durations", "1,1,1,2")
    refused(2, needs, deck, "--schedule", "all")
    refused(3, "no: holds no run; name the folder that `moray train --out` made", deck, *ask, "no")
    shutil.copytree("ran", "untraced")
    shutil.rmtree("untraced/traces")
    refused(3, "untraced: no step has been recorded in traces/ so far; a run records the second step of each start", deck, *ask, "untraced")
    ran = "the deck that ran is ran/resolved.yaml"
    refused(2, f"ran: its model has 8 layers, and that of the deck 7; {ran}", deck, "model.layers=7", *ask, "ran")
    refused(2, f"ran: its micro-batches are 1 x 32 tokens, and those of the deck 2 x 32; {ran}", deck, "batch.micro=2", *ask, "ran")
    refused(2, f"ran: its micro-batches are 1 x 32 tokens, and those of the deck 1 x 16; {ran}", deck, "batch.length=16", *ask, "ran")
    sizes = f"ran: the sizes of its model are others than those of the deck; {ran}"
    for change in ("model.dense_width=64", "model.dense_layers=2", "moe.width=32", "mtp.depth=2"):
        refused(2, sizes, deck, change, *ask, "ran")
    for change in ("precision.compute=bf16", "run.recompute=false"):
        refused(2, f"ran: its section precision or run.recompute is another than that of the deck; {ran}", deck, change, *ask, "ran")
    path = changed("swapped", ops=timeline_of("ran")["ops"][::-1])
    refused(3, f"{path}: its ops are not those of dualpipe here; another version of Moray ran them", deck, *ask, "swapped")
    for key, value in (("schedule", "dualpip"), ("pipeline", 3), ("micro_batches", 10**9), ("micro_batches", 15), ("ranks", []),
                       ("ranks", [{"start_us": [], "end_us": []}] * 4), ("length_us", "long")):
        path = changed("wrong", **{key: value})
        # 15 micro-batches are no DualPipe; the ranks have no times.
        shown = {("micro_batches", 15): "schedule", ("ranks", 4): "start_us"}.get((key, value if key != "ranks" else len(value)), key)
        refused(3, f"{path}: '{shown}' is not as docs/schema/timeline.schema.json says", deck, *ask, "wrong")
        shutil.rmtree("wrong")
    # A start with another layout, which has recorded nothing so far.
    shutil.copytree("ran", "resumed")
    os.mkdir("resumed/resume-0001")
    with open(deck, encoding="utf-8") as file:
        text = file.read()
    with open("resumed/resume-0001/resolved.yaml", "w", encoding="utf-8") as file:
        file.write(text.replace('schedule: "dualpipe"', 'schedule: "zb1p"'))
    refused(3, "resumed/traces/step_00000002.timeline.json: ran dualpipe on 4 pipeline ranks, but the newest start of the run is zb1p on 4 and has "
               "recorded no step so far", deck, *ask, "resumed")


with tempfile.TemporaryDirectory() as work:
    os.chdir(work)
    train("ran", 4)
    train("plain", 4, "parallel.pipeline=2", "parallel.data=2", "parallel.schedule=1f1b")
    train("one", 1, "parallel.pipeline=1")
    check_dualpipe()
    check_1f1b()
    check_one_rank()
    check_errors()
print("all right")
