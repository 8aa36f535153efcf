"""Bad input of every kind: one clear message with its place, the right exit code, and nothing is lost.
Usage: bad_input_test.py MORAY REPOSITORY RESEAL_MANIFEST [MPIRUN...]. Each case starts the program once; before and
after, every file of the runs and of what it was pointed at is digested."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

MORAY, REPOSITORY, RESEAL = (os.path.abspath(path) for path in sys.argv[1:4])
MPIRUN = sys.argv[4:]
TINY = os.path.join(REPOSITORY, "input", "tiny.yaml")
SHORT = ("run.length=4", "checkpoint.every=2 steps")
USAGE, IO = 2, 3
failures = []
cases = 0


def digest_of(folder):
    """{path: what it is}, without following links: kind, mode and, but for folders (a lock comes and goes in them),
    time and contents of everything below."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(place, name)
            status = os.lstat(path)
            what = [status.st_mode]
            if os.path.islink(path):
                what.append(os.readlink(path))
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    what += [status.st_mtime_ns, hashlib.sha256(file.read()).hexdigest()]
            found[path] = what
    return found


# Kokkos warns of threads that are not bound and of more ranks than cores; the launcher binds. Open MPI 5 tells of every
# interface over which TCP finds no way, several ranks into one line: the ranks of a test are on one machine.
os.environ["KOKKOS_DISABLE_WARNINGS"] = "1"
os.environ.setdefault("OMP_PROC_BIND", "false")
os.environ["OMPI_MCA_btl"] = "^tcp"


def start(*arguments, prefix=(), ranks=1):
    launcher = [*MPIRUN, "-n", str(ranks)] if ranks > 1 else []
    return subprocess.run([*launcher, *prefix, MORAY, *arguments], capture_output=True, text=True, errors="replace",
                          check=False, stdin=subprocess.DEVNULL)


def refused(name, code, message, *arguments, lines=1, **how):
    """The program ends with `code`, its message matches and has so many lines, and nothing has changed."""
    global cases
    cases += 1
    before = digest_of(".")
    result = start(*arguments, **how)
    after = digest_of(".")
    wrong = []
    errors = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    if how.get("ranks", 1) > 1:  # mpirun has something to say too: below a line
        errors = errors[:next((at for at, line in enumerate(errors) if not line or line.startswith("---")), None)]
    if result.returncode != code:
        wrong.append(f"exit code {result.returncode}, expected {code}")
    if not re.search(message, "\n".join(errors), re.MULTILINE):
        wrong.append(f"no message like {message!r}")
    if len(errors) != lines:
        wrong.append(f"{len(errors)} lines of message, expected {lines}")
    wrong += [f"{path} is not as it was" for path in sorted(before.keys() | after.keys())
              if before.get(path) != after.get(path)]
    if wrong:
        failures.append(name)
        print(f"FAILED: {name}: {'; '.join(wrong)}\n  {' '.join(arguments)}\n{result.stderr}")


def train(*arguments):
    return ("train", TINY, *SHORT, *arguments)


def make_deck(name, change=None, add=""):
    """A copy of the tiny deck with one line changed."""
    with open(TINY, encoding="utf-8") as file:
        text = file.read()
    if change is not None:
        assert text.count(change[0]) == 1, change
        text = text.replace(*change)
    with open(name, "w", encoding="utf-8") as file:
        file.write(text + add)
    return name


def check_keys():
    def deck(name, message, change=None, add="", lines=2):
        path = make_deck(f"{name}.yaml", change, add)
        refused(f"deck: {name}", USAGE, rf"^{path}:\d+:\d+: .*{message}", "train", path, "--out", "new", lines=lines)

    deck("unknown", r"unknown key 'moe.expert'; did you mean 'experts'", ("experts: 4,", "expert: 4, experts: 4,"))
    deck("section", r"unknown .*'optimiser'; did you mean 'optimizer'", add="optimiser: {weight_decay: 0.1}\n")
    deck("duplicate", r"'seed'.*(twice|again|already)", ("seed: 1,", "seed: 1, seed: 2,"))
    deck("mistyped", r"'two'.*integer", ("layers: 2,", "layers: two,"))
    deck("octal", r"'002'", ("layers: 2,", "layers: 002,"))
    deck("range", r"moe.top_k", ("top_k: 2,", "top_k: 0,"))
    deck("not_yaml", r"not YAML", ("batch: {", "batch: ["), lines=4)
    deck("divide", r"batch.sequences.*works with batch.sequences = 2 or 4, or batch.micro = 1 or 3$", ("sequences: 4,", "sequences: 3,"))
    deck("experts", r"moe.top_k", ("top_k: 2,", "top_k: 5,"))
    path = make_deck("several.yaml", ("top_k: 2,", "top_k: 0, expert: 3,"), add="optimiser: {a: 1}\n")
    refused("deck: all errors at once", USAGE, r"3 errors", "train", path, "--out", "new", lines=4)
    refused("no deck", USAGE, r"nodeck.yaml: .*No such file", "train", "nodeck.yaml", "--out", "new")
    refused("a folder as deck", USAGE, r"run: .*directory", "train", "run", "--out", "new")
    refused("override: unknown", USAGE, r"'run.sed'; did you mean 'seed'", *train("run.sed=2", "--out", "new"), lines=2)

    def layout(name, ending, ranks, *changes, lines=2):
        refused(f"layout: {name}", USAGE, rf"\); {ending}$", "check", TINY, "--ranks", str(ranks), "batch.sequences=8", *changes, lines=lines)

    layout("experts", "works with parallel.expert = 2 or 4", 4, "parallel.expert=3")
    layout("nodes", "works with parallel.nodes = 2 or 4", 4, "parallel.nodes=3")
    layout("data", "works with run.ranks = 2, parallel.data = 4, or parallel.pipeline = 2", 4, "parallel.data=2")
    layout("pipeline", "works with run.ranks = 3 or 6, or parallel.pipeline = 2 or 4", 4, "parallel.pipeline=3", "parallel.schedule=zb1p", "model.layers=4")
    layout("lanes", "works with parallel.lanes = 4, or run.ranks = 2", 4, "parallel.lanes=2")
    layout("lanes of experts", "works with parallel.expert_lanes = 4, parallel.expert = 2, or run.ranks = 2", 4, "parallel.expert_lanes=2")
    layout("micro-batch", "works with batch.sequences = 12, or batch.micro = 2", 4, "batch.micro=3")
    layout("both", r"works with parallel.data = 2 \(run.ranks = 2\) or 4 \(run.ranks = 4\)", 3, "parallel.data=3", lines=5)
    layout("stages", "works with parallel.stages = '5,2', or parallel.pipeline = 1", 2, "parallel.pipeline=2", "model.layers=7", "parallel.stages='4,4'")
    if MPIRUN:
        refused("ranks that do not divide", USAGE, r"tiny.yaml:\d+:\d+: .*batch.sequences.*works with run.ranks = 2", *train("--out", "new"),
                lines=5, ranks=3)


def check_data():
    os.mkdir("texts")
    for name, text in (("empty", ""), ("short", "too short"), ("good", "A text. " * 1000)):
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
    os.symlink("circle", "circle")

    def data(name, message, path, code=IO, **how):
        path = os.path.abspath(path)
        source = f"data.sources=[{{paths: [{path}]}}]"
        refused(f"data: {name}", code, message, *train("data.synthetic=", source, "--out", "new"), **how)

    data("missing", r"data.sources\[0\]: \S+/nothing does not exist", "nothing")
    data("empty", r"data.sources\[0\]: \S+/empty is empty", "empty")
    data("an empty folder", r"data.sources\[0\]: .*\S+/texts holds no file", "texts")
    data("nothing matches", r"data.sources\[0\]: nothing matches \S+/zzz\*", "zzz*")
    data("a link to itself", r"data.sources\[0\]: \S+/circle", "circle")
    data("too short", r"data.sources\[0\]: .*short", "short")
    if MPIRUN:
        data("missing, on two ranks", r"data.sources\[0\]: \S+/nothing does not exist", "nothing", ranks=2)
    os.chmod("good", 0)
    if os.getuid() != 0:
        data("unreadable", r"data.sources\[0\]: \S+/good.*[Pp]ermission", "good")
    elif prefix := nobody():
        data("unreadable", r"data.sources\[0\]: \S+/good.*[Pp]ermission", "good", prefix=prefix)
    else:
        print("SKIPPED: unreadable data: root reads everything, and setpriv cannot start the program as somebody else")
    os.chmod("good", 0o644)


def nobody():
    """How somebody is started who may not read what only root may; None where that does not work."""
    prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    try:
        works = start("info", prefix=prefix).returncode == 0
    except OSError:
        works = False
    return prefix if works else None


def damaged(name, damage):
    """A copy of the run whose newest checkpoint has suffered."""
    shutil.copytree("run", name)
    damage(os.path.join(name, "checkpoints", "step_00000004"))


def truncate(folder, file="checkpoint.h5"):
    os.truncate(os.path.join(folder, file), 5000)


def flip(folder, file="checkpoint.h5", at=100):
    """One bit of the byte `at`; of the first weight if that is None."""
    if at is None:
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as opened:
            datasets = json.load(opened)["datasets"]
        at = next(dataset["offset"] for dataset in datasets if dataset["name"] == "model/embed_tokens/weight")
    with open(os.path.join(folder, file), "r+b") as opened:
        opened.seek(at)
        byte = opened.read(1)[0]
        opened.seek(at)
        opened.write(bytes([byte ^ 4]))


def from_future(folder):
    """A manifest as a later version would write it: right in itself."""
    path = os.path.join(folder, "manifest.json")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert '"version_major":1' in text
    body = text[:text.rindex('\n"digest"')].replace('"version_major":1', '"version_major":9')
    subprocess.run([RESEAL, path], input=body.encode(), check=True)


def check_checkpoints():
    shutil.copyfile("run/checkpoints/step_00000004/checkpoint.h5", "foreign.h5")
    os.mkdir("foreign")
    shutil.copyfile("foreign.h5", "foreign/checkpoint.h5")
    with open("text", "w", encoding="utf-8") as file:
        file.write("no checkpoint\n")

    def resume(name, message, path):
        refused(f"checkpoint: {name}, resumed", IO, message, *train("--resume", path, "--out", "new"))
        source = f"init.from={os.path.abspath(path)}"
        refused(f"checkpoint: {name}, as init.from", IO, message, *train(source, "--out", "new"))
        refused(f"checkpoint: {name}, generated from", IO, message, "generate", path, "--prompt", "a", "--tokens", "1")

    resume("none", r"nowhere: ", "nowhere")
    resume("a text", r"text: is a file", "text")
    resume("an HDF5 file", r"foreign.h5: is a file", "foreign.h5")
    resume("a folder with an HDF5 file", r"foreign: holds no checkpoint", "foreign")
    resume("an empty folder", r"texts: holds no checkpoint", "texts")

    step = "checkpoints/step_00000004"
    for name, damage, message in (
            ("truncated", truncate, r"checkpoint.h5: has 5000 bytes, \d+ were written"),
            ("flipped", lambda step: flip(step, at=None), r"checkpoint.h5: elements \d+ to \d+ of \S+ are not those"),
            ("flipped_outside", flip, r"checkpoint.h5: bytes outside the tensors are not those written"),
            ("flipped_digests", lambda step: flip(step, "blocks.xxh3", 3), r"(blocks.xxh3|checkpoint.h5): "),
            ("flipped_manifest", lambda step: flip(step, "manifest.json", 500), r"manifest.json: .* was changed"),
            ("without_manifest", lambda step: os.remove(f"{step}/manifest.json"), r"without_manifest/\S+: "),
            ("text_inside", lambda step: shutil.copyfile("text", f"{step}/checkpoint.h5"), r"has 14 bytes")):
        damaged(name, damage)
        resume(name, message, f"{name}/{step}")

    # --resume auto takes the one before and sets the damaged one aside, as it is.
    kept = digest_of(f"flipped/{step}")
    assert start(*train("--resume", "auto", "--out", "flipped")).returncode == 0
    aside = digest_of(f"flipped/{step}.bad")
    assert [value for _, value in sorted(kept.items())] == [value for _, value in sorted(aside.items())]
    # With no other to take, it does not begin again.
    shutil.rmtree("truncated/checkpoints/step_00000002")
    for _ in range(2):
        result = start(*train("--resume", "auto", "--out", "truncated"))
        assert result.returncode == IO, result
        assert "step_00000004.bad: is damaged and there is no other checkpoint" in result.stderr, result.stderr

    damaged("future", from_future)
    message = r"manifest.json: .*\b9\b.*\b1\b"
    resume("of a future version", message, f"future/{step}")
    refused("checkpoint: of a future version, auto", IO, message, *train("--resume", "auto", "--out", "future"))
    refused("checkpoint: of another shape", IO,
            r"step_00000004: model/embed_tokens/weight is float32 \(260, 32\), the model needs",
            *train(f"init.from={os.path.abspath('run')}", "model.width=64", "--out", "new"))
    refused("checkpoint: not one, inspected", IO, r"foreign.h5: is a file", "inspect", "foreign.h5")


def check_folders():
    refused("out: a file", IO, r"text: is a file, not a folder", *train("--out", "text"))
    refused("out: below a file", IO, r"text/run: mkdir failed: Not a directory", *train("--out", "text/run"))
    refused("out: where nobody may write", IO, r"/proc/run: mkdir failed", *train("--out", "/proc/run"))
    # A file system that is mounted to be read: as root in a mount name space of its own.
    script = ('mount -t tmpfs none sealed && mount -o remount,ro sealed || exit 77; exec "$@"')
    os.mkdir("sealed")
    probe = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", "true"], capture_output=True, check=False)
    if probe.returncode == 0:
        sealed = ("unshare", "-m", "sh", "-c", script, "sh")
        refused("out: a read-only file system", IO, r"sealed: is not writable; check the permissions",
                *train("--out", "sealed"), prefix=sealed)
        refused("out: below a read-only file system", IO, r"sealed/run: mkdir failed: Read-only file system",
                *train("--out", "sealed/run"), prefix=sealed)
    else:
        print("SKIPPED: an output folder on a read-only file system: mount is not permitted")


def check_runs():
    refused("run: there already", IO, r"run: holds a run already; go on with it by --resume auto",
            *train("--out", "run"))
    refused("run: auto without a folder", USAGE, r"--resume auto .*--out", *train("--resume", "auto"))
    refused("run: a changed fixed key", USAGE,
            r"step_00000004: cannot be resumed with \S+tiny.yaml:\n  run.seed: 1 in the checkpoint, 7 now",
            *train("--resume", "auto", "--out", "run", "run.seed=7"), lines=3)
    refused("run: a changed fixed key, from a path", USAGE, r"run.seed: 1 in the checkpoint, 7 now",
            *train("--resume", "run", "--out", "new", "run.seed=7"), lines=3)
    with open("corpus", "w", encoding="utf-8") as file:
        file.write("Letters and words. " * 500)
    data = ("data.synthetic=", f"data.sources=[{{paths: [{os.path.abspath('corpus')}]}}]")
    assert start(*train(*data, "--out", "on_corpus")).returncode == 0
    with open("corpus", "a", encoding="utf-8") as file:
        file.write("And one more.")
    refused("run: changed data", USAGE, r"tiny.yaml: the data files are not those .*init: \{from:",
            *train(*data, "--out", "on_corpus", "--resume", "auto"))
    if MPIRUN:
        refused("run: a changed fixed key, on two ranks", USAGE, r"run.seed: 1 in the checkpoint, 7 now",
                *train("batch.micro=1", "--resume", "auto", "--out", "run", "run.seed=7"), lines=3, ranks=2)


def check_second_job():
    """While a job has the folder, its files change; what counts is that it goes on and ends as if nothing had been."""
    global cases
    cases += 1
    long = ("train", TINY, "checkpoint.every=20 steps", "run.length=1000000", "learning_rate.schedule=constant")
    with subprocess.Popen([MORAY, *long, "--out", "busy"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as first:
        while not os.path.exists("busy/checkpoints/step_00000020"):
            assert first.poll() is None, first.stderr.read()
            time.sleep(0.02)
        fresh = start(*long, "--out", "busy")
        assert fresh.returncode == IO and "holds a run already" in fresh.stderr, fresh
        begun = time.monotonic()
        second = start(*long, "--out", "busy", "--resume", "auto")
        waited = time.monotonic() - begun
        first.terminate()
        _, errors = first.communicate()
        assert first.returncode == 75, errors
    assert second.returncode == IO and 8 < waited < 40, (second, waited)
    assert re.search(rf"busy/lock: the run is in use by process {first.pid} on ", second.stderr), second.stderr
    assert len(second.stderr.splitlines()) == 1 and "waiting up to 10 s" in second.stdout, second
    assert not os.path.exists("busy/resume-0001") and not os.path.exists("busy/lock")
    with open("busy/STATUS", encoding="utf-8") as file:
        assert file.read() == "stopped\n"
    with open("busy/metrics.csv", encoding="utf-8") as file:
        steps = [int(line.split(",")[0]) for line in file.readlines()[1:]]
    assert steps == list(range(1, len(steps) + 1)) and steps[-1] > 20


work = os.path.realpath(tempfile.mkdtemp(prefix="moray-bad-"))
os.chmod(work, 0o755)  # others may look, as in a home
os.chdir(work)
try:
    made = start(*train("--out", "run"))
    assert made.returncode == 0, made.stderr
    check_keys()
    check_data()
    check_checkpoints()
    check_folders()
    check_runs()
    check_second_job()
finally:
    os.chdir("/")
    shutil.rmtree(work)
if not MPIRUN:
    print("SKIPPED: several ranks: no mpirun")
print(f"{cases} cases, {len(failures)} failed")
sys.exit(1 if failures else 0)
