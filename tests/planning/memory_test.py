"""What `moray plan` says is what a run takes: peak resident memory of every rank within 10 % of the plan plus the peak
of the same program stopped after it has started MPI, Kokkos and HDF5, in a pipeline for each of its places. And a long run takes no
more than a short one.
Usage: memory_test.py MORAY REPOSITORY [MPIRUN...]. What runs on each rank is this file again:
memory_test.py --measure FOLDER COMMAND... runs COMMAND and leaves its peak, in KiB, in a file there with the number of the rank."""

import json
import os
import subprocess
import sys
import tempfile

SELF = os.path.abspath(__file__)
TOLERANCE = 0.10
GROWTH_KIB = 400  # of 200 steps: a leak of 2 KiB a step


def measure(folder, command):
    """Runs the command; the kernel counts the peak."""
    process = os.spawnvp(os.P_NOWAIT, command[0], command)
    _, status, usage = os.wait4(process, 0)
    ranks = (os.environ.get(name) for name in ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"))
    rank = next((number for number in ranks if number is not None), "0")
    with open(os.path.join(folder, rank), "w", encoding="utf-8") as file:
        file.write(str(usage.ru_maxrss))
    sys.exit(os.waitstatus_to_exitcode(status))


if sys.argv[1] == "--measure":
    measure(sys.argv[2], sys.argv[3:])

os.environ["OMP_NUM_THREADS"] = "1"  # as the decks say
MORAY, REPOSITORY = (os.path.abspath(path) for path in sys.argv[1:3])
MPIRUN = sys.argv[3:]
MOE = os.path.join(REPOSITORY, "input", "bench", "moe-small.yaml")
QUICKSTART = os.path.join(REPOSITORY, "input", "quickstart.yaml")


def peaks(ranks, *arguments):
    """Bytes of each rank."""
    with tempfile.TemporaryDirectory(prefix="moray-memory-") as folder:
        launcher = [*MPIRUN, "-n", str(ranks)] if ranks > 1 else []
        command = [*launcher, sys.executable, SELF, "--measure", folder, MORAY, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        assert result.returncode == 0, (command, result.stdout[-2000:], result.stderr[-2000:])
        measured = []
        for rank in range(ranks):
            with open(os.path.join(folder, str(rank)), encoding="utf-8") as file:
                measured.append(1024 * int(file.read()))
        return measured


def train(ranks, deck, *overrides):
    """The peak of each rank, and the run's own profile."""
    with tempfile.TemporaryDirectory(prefix="moray-memory-") as folder:
        run = os.path.join(folder, "run")
        measured = peaks(ranks, "train", deck, *overrides, "--out", run)
        with open(os.path.join(run, "profile.json"), encoding="utf-8") as file:
            return measured, json.load(file)


def planned(ranks, deck, *overrides):
    command = [MORAY, "plan", deck, *overrides, "--ranks", str(ranks), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def beside(what, plan, started, measured):
    assert plan > 2 * started, f"{what}: too small for its {plan} bytes to mean anything beside {started}"
    ratio = measured / (plan + started)
    mib = [f"{value / 2**20:.1f}" for value in (plan, started, measured)]
    line = f"{what}: plan {mib[0]} + started {mib[1]} MiB, measured {mib[2]} MiB: {100 * ratio:.1f} %"
    print(line, flush=True)
    return [] if abs(ratio - 1) <= TOLERANCE else [line]


def compare(what, ranks, deck, *overrides):
    started = max(peaks(ranks, "info", "--runtime"))
    plan = planned(ranks, deck, *overrides)["rank"]["bytes"]["total"]
    measured, _ = train(ranks, deck, *overrides)
    return beside(f"{what}, {ranks} rank(s)", plan, started, max(measured))


def compare_pipeline(schedule, places, *overrides):
    """Every rank beside the plan of its place; and the arenas, exactly, by category."""
    started = max(peaks(places, "info", "--runtime"))
    layout = (f"parallel.pipeline={places}", f"parallel.schedule={schedule}")
    plan = planned(places, MOE, *layout, *overrides)
    measured, profile = train(places, MOE, *layout, *overrides)
    wrong = []
    for place, (bytes_planned, peak) in enumerate(zip(plan["pipeline"]["places"], measured)):
        total = bytes_planned["bytes"] + plan["rank"]["bytes"]["products"]
        wrong += beside(f"{schedule}, place {place} of {places}", total, started, peak)
    for category, taken in profile["arena_bytes"].items():
        most = max(place["arena_bytes"][category] for place in plan["pipeline"]["places"])
        if taken != most:
            wrong.append(f"{schedule}: {category}: planned {most}, taken {taken}")
    return wrong


def check_plan():
    small = ("batch.sequences=4", "batch.length=128", "batch.micro=2", "parallel.lanes=2", "parallel.expert_lanes=2",
             "run.length=2", "checkpoint.every=1 steps")
    several = [2] if MPIRUN else []
    wrong = []
    for ranks in [1, *several]:
        wrong += compare("weights and float32 moments", ranks, MOE, *small, "model.layers=5")
        wrong += compare("bf16 moments and a moving average", ranks, MOE, *small, "model.layers=5",
                         "optimizer.moments=bf16", "optimizer.ema=0.99")
    wrong += compare("activations, MTP and samples", 1, QUICKSTART, "run.length=2", "batch.micro=8", "mtp.depth=1",
                     "run.recompute=false", "samples.tokens=5", "validation.windows=4")
    assert not wrong, "\n".join(wrong)


def check_pipelines():
    """Widths that the four schedules need different memory for: weights, activations alive and gradients put off."""
    sizes = ("batch.sequences=8", "batch.length=256", "batch.micro=1", "parallel.lanes=2", "parallel.expert_lanes=2",
             "run.length=2", "checkpoint.every=1 steps", "run.recompute=false")
    wrong = []
    for schedule in ("1f1b", "zb1p", "dualpipe", "dualpipev"):
        wrong += compare_pipeline(schedule, 4, *sizes)
    assert not wrong, "\n".join(wrong)


def check_growth():
    """The sizes of a run do not depend on its length: what 200 steps add would have been lost by them. The least of
    three runs, since the first pages of a process lie differently each time."""
    tiny = (os.path.join(REPOSITORY, "input", "tiny.yaml"), "checkpoint.every=20 steps", "validation.every=20 steps",
            "samples.tokens=3", "samples.every=20 steps")
    short, long = (min(train(1, *tiny, f"run.length={steps}")[0][0] for _ in range(3)) for steps in (40, 240))
    print(f"40 steps take {short >> 10} KiB, 240 steps {long >> 10} KiB")
    assert long - short <= GROWTH_KIB * 1024, (short, long)


if not MPIRUN:
    print("SKIPPED: several ranks: no mpirun")
check_plan()
if MPIRUN:
    check_pipelines()
check_growth()
