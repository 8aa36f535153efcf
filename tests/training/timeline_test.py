"""The timeline of a step: DualPipe runs whose ops, messages and shares are compared with the planned lists and with what
this file works out from their times. Usage: timeline_test.py MORAY REPOSITORY [MPIRUN...]; 77 means skipped."""

import csv
import json
import os
import re
import subprocess
import sys
import tempfile

MORAY, REPOSITORY = (os.path.abspath(path) for path in sys.argv[1:3])
MPIRUN = sys.argv[3:]
if not MPIRUN:
    print("SKIPPED: no mpirun")
    sys.exit(77)
DECK = os.path.join(REPOSITORY, "input", "dualpipe.yaml")
MICRO = 8
SMALL = [f"data.sources=[{{paths: [{REPOSITORY}/docs/*.md]}}]", "run.length=4", "model.width=32", "model.dense_width=48", "attention.heads=2",
         "moe.width=16", f"batch.sequences={MICRO}", "batch.length=32", "attention.max_length=32", "output.log_every=1", "parallel.lanes=8",
         "parallel.expert_lanes=8", "validation.windows=4", "checkpoint.every=0"]
COLUMNS = ("loss", "gradient_norm", "validation_loss", "mtp_loss[0]")
TINY = 101  # ns: times of the timeline are rounded to 0.1 microseconds


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def train(out, ranks, *changes):
    log = run(*MPIRUN[:1], "-n", str(ranks), *MPIRUN[1:], MORAY, "train", DECK, "--out", out, *SMALL, *changes)
    return log


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def slices(trace, process):
    """{track: [(name, category, start, end)]} of one process of a trace, in ns."""
    pids = [e["pid"] for e in trace["traceEvents"] if e["name"] == "process_name" and e["args"]["name"] == process]
    assert len(pids) == 1, (process, pids)
    tracks = {}
    for e in trace["traceEvents"]:
        if e["ph"] == "X" and e["pid"] == pids[0]:
            tracks.setdefault(e["tid"], []).append((e["name"], e["cat"], round(1e3 * e["ts"]), round(1e3 * e["ts"]) + round(1e3 * e["dur"])))
    return tracks


def ops_of(track):
    return sorted((s for s in track if s[1] != "phase"), key=lambda s: s[2])


def units(op):
    """[(F or B, chunk, micro-batch)] of the messages of an op: W alone neither needs nor makes one."""
    found = []
    for kind, chunk, micro in re.findall(r"(F|BW|B|W)(\d+):(\d+)", op):
        if kind != "W":
            found.append(("F" if kind == "F" else "B", int(chunk), int(micro)))
    return found


def senders(kind, chunk, rank, ranks):
    """DualPipe: chunk 0 goes up the ranks and chunk 1 down, gradients the other way. The rank before, or none."""
    step = -1 if (chunk == 0) == (kind == "F") else 1
    return [rank + step] if 0 <= rank + step < ranks else []


def check_track(track, wanted):
    """All ops of the schedule in the order of the list, none over another; phases within ops."""
    ops = ops_of(track)
    assert [op[0] for op in ops] == wanted, (ops, wanted)
    for before, after in zip(ops, ops[1:]):
        assert before[3] <= after[2], (before, after)
    for name, category, start, end in track:
        if category != "phase":
            continue
        assert start <= end, (name, start, end)
        inside = [op for op in ops if op[2] <= start and end <= op[3]]
        between = [op for op in ops if op[2] < end and start < op[3]]
        layer = re.match(r"(attention|dispatch \w+|experts|combine \w+|ends) [FBW]", name)
        assert len(inside) == 1 if layer or name in ("waits for tokens", "waits for counts") else not between, (name, start, end)
        if layer:  # of a forward in a forward, and so on
            assert name.split(",")[0][-1] in inside[0][0], (name, inside)


PHASE = re.compile(r"(attention|experts|(?:dispatch|combine) (?:start|relay|finish)) ([FBW]), layer (\d+)")


def overlapped_order(forward, backward, relayed):
    """What an overlapped op of these layers does in turn: each exchange of one micro-batch runs under the computation of the
    other (DeepSeek-V3 report, figure 4), and each of two hops in the layers that are `relayed`."""
    order = [("combine start", "B", backward[0])] if backward else []
    for i in range(max(len(forward), len(backward))):
        f = forward[i] if i < len(forward) else None
        b = backward[i] if i < len(backward) else None
        after = backward[i + 1] if i + 1 < len(backward) else None
        order += [("attention", "F", f), ("combine finish", "B", b), ("dispatch start", "F", f), ("experts", "B", b), ("dispatch relay", "F", f),
                  ("experts", "B", b), ("dispatch finish", "F", f), ("dispatch start", "B", b), ("experts", "W", b), ("dispatch relay", "B", b),
                  ("experts", "F", f), ("dispatch finish", "B", b), ("combine start", "F", f), ("attention", "B", b), ("combine relay", "F", f),
                  ("combine start", "B", after), ("attention", "W", b), ("combine relay", "B", after), ("combine finish", "F", f)]
    return [phase for phase in order if phase[2] is not None and (phase[2] in relayed or "relay" not in phase[0])]


def check_overlaps(track, two_hops):
    """Of the overlapped ops of a rank: their phases come in that order, and computation of one micro-batch lies between the
    start and the finish of each exchange of the other; with two hops, before and after its relay. Returns the number of
    exchanges."""
    exchanges = hops = 0
    for name, category, begin, end in ops_of(track):
        if category != "overlapped":
            continue
        phases = []  # ((what, part, layer), start, end)
        for phase, kind, start, stop in track:
            found = PHASE.fullmatch(phase)
            if kind == "phase" and found and begin <= start and stop <= end:
                phases.append(((found[1], found[2], int(found[3])), start, stop))
        phases.sort(key=lambda p: p[1])
        forward, backward = ([p[0][2] for p in phases if p[0][:2] == ("attention", part)] for part in "FB")
        assert forward == sorted(forward) and backward == sorted(backward, reverse=True) and forward and backward, (name, phases)
        relayed = {p[0][2] for p in phases if "relay" in p[0][0]}
        assert [p[0] for p in phases] == overlapped_order(forward, backward, relayed), (name, [p[0] for p in phases])
        times = {p[0]: p[1:] for p in phases}
        for i in range(min(len(forward), len(backward))):  # where both have layers
            for exchange, part, layer in (("dispatch", "F", forward[i]), ("combine", "F", forward[i]), ("combine", "B", backward[i]),
                                          ("dispatch", "B", backward[i])):
                other = "BW" if part == "F" else "F"
                ways = [(times[f"{exchange} start", part, layer][1], times[f"{exchange} finish", part, layer][0])]
                relay = times.get((f"{exchange} relay", part, layer))
                if relay:  # combine(B) of a layer begins under the weight gradients of the one above
                    other += "W"
                    ways = [(ways[0][0], relay[0]), (relay[1], ways[0][1])]
                    hops += 1
                for started, finish in ways:
                    assert any(p[0][0] in ("attention", "experts") and p[0][1] in other and started <= p[1] and p[2] <= finish
                               for p in phases), (name, exchange, part, layer, phases)
                exchanges += 1
    assert (hops > 0) == two_hops, (hops, two_hops)
    return exchanges


def check_early_reduce(track):
    """The gradients of the chunk that is complete first are on their way before the last op."""
    reduces = sorted(s[2] for s in track if s[0] == "reduce")
    assert len(reduces) > 1 and reduces[0] < ops_of(track)[-1][2], (reduces, ops_of(track)[-1])


def check_messages(tracks, shape):
    """No op starts before the one that sends it something has done its work. Returns how long ranks waited for
    messages which had been sent."""
    done, ended = {}, {}
    for rank, track in tracks.items():
        for name, _, start, end in ops_of(track):
            work = [s[3] for s in track if s[1] == "phase" and start <= s[2] and s[3] <= end]
            for unit in units(name):
                done[rank, unit], ended[rank, unit] = max(work), end
    messages, waited = 0, 0
    for rank, track in tracks.items():
        before = 0
        for name, _, start, _ in ops_of(track):
            waits = [s for s in track if s[0] == "waits for a message" and before <= s[2] and s[3] <= start]
            asked = min((s[2] for s in waits), default=start)
            for kind, chunk, micro in units(name):
                for sender in senders(kind, chunk, rank, len(tracks)):
                    messages += 1
                    # A rank has the chunks of one direction under the same number.
                    assert done[sender, (kind, chunk, micro)] < start, (rank, name, sender)
                    asked = max(asked, ended[sender, (kind, chunk, micro)])
            waited += max(0, start - asked)
            before = start
    assert messages == 2 * shape["micro_batches"] * (len(tracks) - 1), messages
    return waited


def check_arrows(trace, count):
    ends = {}
    for e in trace["traceEvents"]:
        if e["ph"] in "sf":
            ends.setdefault(e["id"], []).append(e)
    assert len(ends) == count, (len(ends), count)
    for pair in ends.values():
        assert [e["ph"] for e in pair] == ["s", "f"] and pair[0]["ts"] < pair[1]["ts"] and pair[0]["tid"] != pair[1]["tid"], pair


def near(a, b):
    """Times of a step in ns, or shares of it."""
    return abs(a - b) <= 1e-3 * max(abs(a), abs(b)) + (1e-4 if abs(a) + abs(b) < 10 else 3 * TINY)


def check_step(folder, step, pipeline, data):
    """Returns the shares of the step."""
    path = os.path.join(folder, "traces", f"step_{step:08d}")
    trace, timeline = load(path + ".json"), load(path + ".timeline.json")
    micro = MICRO // data
    assert [timeline[key] for key in ("format", "step", "schedule", "pipeline", "data", "micro_batches", "lost_spans")] == \
        ["moray-timeline", step, "dualpipe", pipeline, data, micro, 0], timeline
    with tempfile.TemporaryDirectory() as work:
        planned = os.path.join(work, "planned.json")
        run(MORAY, "plan", DECK, "--schedule", "dualpipe", "--durations", "1,1,1,2.75", "--pipeline", str(pipeline), "--micro-batches", str(micro),
            "--trace", planned)
        lists = [[op[0] for op in ops_of(track)] for _, track in sorted(slices(load(planned), "dualpipe planned").items())]
    assert timeline["ops"] == lists, (timeline["ops"], lists)
    computing, waited, tokens = 0, 0, 0
    length = 1e3 * timeline["length_us"]
    for j in range(data):
        tracks = slices(trace, "measured" if data == 1 else f"measured, data rank {j}")
        assert sorted(tracks) == list(range(pipeline))
        for p, track in tracks.items():
            check_track(track, lists[p])
            assert check_overlaps(track, two_hops=data > 1) > 0, (j, p)
            check_early_reduce(track)
            rank = next(r for r in timeline["ranks"] if (r["data"], r["pipeline"]) == (j, p))
            for key, column in (("start_us", 2), ("end_us", 3)):
                assert all(abs(1e3 * a - op[column]) < TINY for a, op in zip(rank[key], ops_of(track))), (key, rank)
            assert all(a <= s for a, s in zip(rank["asked_us"], rank["start_us"]))
            computing += sum(op[3] - op[2] for op in ops_of(track))
            tokens += sum(s[3] - s[2] for s in track if s[0] in ("waits for tokens", "waits for counts"))
            assert near(1e3 * sum(rank["tokens_us"]), sum(s[3] - s[2] for s in track if s[0] in ("waits for tokens", "waits for counts")))
        waited += check_messages(tracks, timeline)
    planned = slices(trace, "planned with the measured durations")
    idle = 0
    for p, track in planned.items():
        check_track(track, lists[p])
        idle += 1e3 * timeline["planned_length_us"] - sum(op[3] - op[2] for op in ops_of(track))
    check_arrows(trace, (data + 1) * 2 * micro * (pipeline - 1))
    shares, whole = timeline["shares"], pipeline * data * length
    assert near(max(op[3] for j in range(data) for t in slices(trace, "measured" if data == 1 else f"measured, data rank {j}").values()
                    for op in ops_of(t)), length)
    assert near(shares["computing"], (computing - tokens) / whole), (shares, computing, tokens, whole)
    assert near(shares["tokens"], tokens / whole) and near(shares["stages"], waited / whole), (shares, tokens, waited, whole)
    assert near(sum(shares[key] for key in ("computing", "tokens", "stages", "bubble")), 1), shares
    assert near(shares["planned_bubble"], idle / (1e3 * pipeline * timeline["planned_length_us"])), (shares, idle)
    phases = {(p["phase"], p["part"]): p for p in timeline["phases"]}
    wanted = {(row, part) for row in ("attention", "experts") for part in "FBW"} | {(row, part) for row in ("dispatch", "combine", "ends") for part in "FB"}
    assert set(phases) == wanted, sorted(phases)
    in_phases = 1e3 * sum(p["us"] for p in phases.values())
    assert 0 < in_phases <= computing / (pipeline * data) + TINY, (in_phases, computing)
    assert near(1e3 * sum(p["waited_us"] for p in phases.values()), tokens / (pipeline * data))
    return shares


def rows(folder):
    with open(os.path.join(folder, "metrics.csv"), encoding="utf-8") as file:
        return [[row[name] for name in COLUMNS] for row in csv.DictReader(file)]


def lines_of_log(folder):
    with open(os.path.join(folder, "log.txt"), encoding="utf-8") as file:
        return file.read().splitlines()


def layout_of(folder, log):
    """What the banner says of it, in the file and on the terminal."""
    lines = [line[len("layout   "):] for line in lines_of_log(folder) if line.startswith("layout   ")]
    assert len(lines) == 1 and lines[0] in log, (lines, log)
    return lines[0]


def traces(folder):
    return sorted(os.listdir(os.path.join(folder, "traces")))


with tempfile.TemporaryDirectory() as work:
    os.chdir(work)
    alone = ["parallel.pipeline=4", "parallel.data=1", "parallel.expert=1", "parallel.nodes=auto", "parallel.traffic=auto"]
    log = train("stages", 4, *alone)
    assert traces("stages") == ["step_00000002.json", "step_00000002.timeline.json"], traces("stages")
    shares = check_step("stages", 2, 4, 1)
    assert shares["tokens"] == 0 and shares["bubble"] > 0, shares
    assert layout_of("stages", log) == "pipeline 4, data 1, expert 1, nodes of 4 ranks, schedule dualpipe, stages 2x2,3,1, chunks 2", log
    assert "timeline of step 2" in log and f"bubble {100 * shares['bubble']:.1f} %" in log, log

    both = ["parallel.pipeline=2", "parallel.data=2", "parallel.expert=2", "parallel.nodes=2", "output.trace_every=1"]
    log = train("experts", 4, *both)
    assert layout_of("experts", log) == "pipeline 2, data 2, expert 2, nodes 2, schedule dualpipe, stages 5,3, chunks 2, traffic two_hop", log
    assert not any("two_hop needs" in line for line in lines_of_log("experts"))
    assert len(traces("experts")) == 8, traces("experts")
    for step in (1, 2, 3, 4):
        assert check_step("experts", step, 2, 2)["tokens"] > 0
    # All ranks are on one node here: two hops are asked for in vain, and the run says so once.
    log = train("near", 2, "parallel.pipeline=1", "parallel.data=auto", "parallel.expert=2", "parallel.nodes=auto", "run.length=2")
    assert layout_of("near", log) == "pipeline 1, data 2, expert 2, nodes of 2 ranks, traffic flat", log
    warnings = [line for line in lines_of_log("near") if "two_hop needs" in line]
    assert warnings == ["warning: traffic: two_hop needs an expert group that spans nodes of a power of two of ranks, but the 2 ranks of an expert "
                        "group are on one node: it runs flat"], warnings
    assert [row[:2] for row in rows("near")] == [row[:2] for row in rows("experts")[:2]], (rows("near"), rows("experts"))
    # What is recorded changes no bit; nor does the layout, so that one run without stages tells both.
    assert rows("stages") == rows("experts"), (rows("stages"), rows("experts"))
    one = ["parallel.pipeline=1", "parallel.data=1", "parallel.expert=1", "parallel.nodes=0", "parallel.traffic=auto"]
    log = train("one", 1, *one)
    assert rows("one") == rows("stages") and "timeline of step" not in log and "\nlayout" not in log, log
    assert load("one/traces/step_00000002.timeline.json")["ops"] == [["F0:0"] + [op for m in range(MICRO) for op in
        ([f"BW0:{m}"] + ([f"F0:{m + 1}"] if m + 1 < MICRO else []))]]
    # Each start has its own second step.
    train("one", 1, *one, "--resume", "auto", "run.length=7")
    assert traces("one")[::2] == ["step_00000002.json", "step_00000006.json"], traces("one")
print("all right")
