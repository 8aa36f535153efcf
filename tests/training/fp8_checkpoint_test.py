"""FP8 forms of weights in checkpoints, from outside: what h5py reads is what `moray inspect --fp8` says; layouts write the
same bits; a checkpoint without float32 weights can be generated from and started from; codes or scales of a wrong shape
are refused. Usage: fp8_checkpoint_test.py MORAY REPOSITORY REWRITE_CHECKPOINT [MPIRUN...]; 77 means skipped, with the
reason printed."""

import json
import os
import subprocess
import sys
import tempfile

MORAY, REPOSITORY, REWRITE = (os.path.abspath(path) for path in sys.argv[1:4])
MPIRUN = sys.argv[4:]
# Extents of 136 to 176, so that there are partial blocks; some modules in bf16 and float32.
DECK = os.path.join(REPOSITORY, "tests", "golden", "fp8.yaml")
SHORT = ("run.length=2", "batch.micro=1", "checkpoint.every=1 steps")
IO = 3
SCALES = "_scale_inv"
# Kokkos warns of threads that are not bound; the launcher binds.
os.environ["KOKKOS_DISABLE_WARNINGS"] = "1"
os.environ.setdefault("OMP_PROC_BIND", "false")


def start(*arguments, ranks=1):
    launcher = [*MPIRUN, "-n", str(ranks)] if ranks > 1 else []
    return subprocess.run([*launcher, MORAY, *arguments], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)


def output(*arguments, ranks=1):
    result = start(*arguments, ranks=ranks)
    assert result.returncode == 0, (arguments, result.stderr[-2000:])
    return result.stdout


def refused(message, *arguments):
    result = start(*arguments)
    assert result.returncode == IO and message in result.stderr, (arguments, result)
    assert result.stderr.count("\n") == 1, result.stderr


def train(out, *overrides, ranks=1):
    output("train", DECK, "--out", out, *SHORT, *overrides, ranks=ranks)


def checkpoint_of(run):
    return os.path.join(run, "checkpoints", "step_00000002")


def fp8_of(path):
    return json.loads(output("inspect", path, "--fp8", "--json"))["checkpoint"]["fp8"]


def rewritten(name, *edits):
    """A checkpoint made of that of the run `one`."""
    os.mkdir(name)
    return subprocess.run([REWRITE, checkpoint_of("one"), name, *edits], check=True, capture_output=True,
                          text=True).stdout.strip()


def check_layouts():
    """The digests of all blocks of all tensors, FP8 forms included."""
    linears = "checkpoint.fp8_weights=fp8_linears"
    # Matrices that have several owners, of which none has all float32 values; generating text needs all.
    wide = (linears, "model.width=512", "model.dense_width=1024")
    train("one", linears, "checkpoint.asynchronous=false")
    train("behind", linears)
    train("wide", *wide)
    same = [["one", "behind"], ["wide"]]
    if MPIRUN:
        train("two", linears, "parallel.expert=2", "samples.tokens=2", "samples.every=1 steps", ranks=2)
        train("stages", linears, "parallel.pipeline=2", ranks=2)
        train("wide_owners", *wide, "parallel.expert=2", ranks=4)
        train("wide_mirrored", *wide, "parallel.pipeline=2", "parallel.schedule=dualpipe", ranks=2)
        same[0] += ["two", "stages"]
        same[1] += ["wide_owners", "wide_mirrored"]
    else:
        print("SKIPPED: layouts: no mpirun")
    for runs in same:
        for step in ("step_00000001", "step_00000002"):
            digests = []
            for run in runs:
                with open(os.path.join(run, "checkpoints", step, "blocks.xxh3"), "rb") as file:
                    digests.append(file.read())
            assert digests == digests[:1] * len(digests), runs


def check_names():
    """Those that compute in FP8 are stored; of the others it is said what FP8 would make of them."""
    stored = {tensor["name"]: tensor["stored"] for tensor in fp8_of("one")["tensors"]}
    assert stored["model/layers/1/mlp/experts/up_proj/weight"]
    assert not stored["model/layers/3/mlp/experts/up_proj/weight"], "bf16"
    assert not stored["model/layers/0/self_attn/o_proj/weight"], "float32"
    assert not any("embed" in name or "head" in name or "gate/" in name or "norm" in name for name in stored), stored
    train("none", "precision.overrides={}")
    train("all", "checkpoint.fp8_weights=all_linears", "precision.overrides={}")
    made, kept = fp8_of("none"), fp8_of("all")
    assert made["scales"] == "float32" and len(made["tensors"]) == len(kept["tensors"]) == len(stored)
    for left, right in zip(made["tensors"], kept["tensors"]):
        assert not left.pop("stored") and right.pop("stored")
        assert left == right
    output("inspect", "none", "all", "--diff")  # of the same weights: the forms do not count
    text = output("inspect", "one", "--fp8")
    assert "fp8/" not in text and text.count(" stored ") == sum(stored.values()), text
    assert "fp8/model" in output("inspect", "one", "--all")


def check_alone():
    """Without float32 weights and optimizer; then with scales and codes that do not fit."""
    alone = rewritten("alone", "fp8-alone")
    tensors = fp8_of(alone)["tensors"]
    assert [tensor["name"] for tensor in tensors if "relative_rms" not in tensor]
    sample = ("--prompt", "a", "--tokens", "4", "--greedy")
    assert output("generate", alone, *sample) and output("generate", "one", *sample)
    with open("text", "w", encoding="utf-8") as text:
        text.write("Some words to score.\n" * 30)
    output("evaluate", alone, "text")
    train("started", f"init.from={os.path.abspath(alone)}")
    refused("in FP8 alone, from which no run goes on", "train", DECK, "--out", "resumed", *SHORT, "run.length=4",
            "--resume", alone)

    experts = "model/layers/1/mlp/experts/up_proj/weight"
    scales = f"fp8/{experts}{SCALES}"
    for name, edits in (("short", [f"{scales}=8,1,2"]), ("short_alone", [f"{scales}=8,1,2", "fp8-alone"])):
        path = rewritten(name, *edits)
        message = f"{scales} is float32 (8, 1, 2); {experts} (8, 136, 144) has scales float32 (8, 2, 2)"
        refused(message, "generate", path, *sample)
        refused(message, "evaluate", path, "text")
        refused(message, "inspect", path, "--fp8")
        refused(message, "train", DECK, "--out", "new", *SHORT, f"init.from={os.path.abspath(path)}")
        if name == "short":
            refused(message, "train", DECK, "--out", "new", *SHORT, "run.length=4", "--resume", path)
    path = rewritten("codes", f"fp8/{experts}=8,144,136")
    refused(f"fp8/{experts} is uint8 (8, 144, 136); {experts} (8, 136, 144) has codes uint8 (8, 136, 144)",
            "generate", path, *sample)
    assert not os.path.exists("new") and not os.path.exists("resumed")


def check_with_h5py():
    """The recipe of docs/checkpoint-format.md, and the errors that inspect prints from it."""
    import h5py
    import numpy

    code = numpy.arange(128)
    value = numpy.where(code < 8, code * 2.0**-9, (8 + code % 8) * 2.0 ** (code // 8 - 10))
    value[127] = numpy.nan
    e4m3 = numpy.concatenate([value, -value]).astype("f4")

    def weight(file, name):
        codes = file[f"fp8/{name}"]
        assert codes.attrs["dtype"] == b"float8_e4m3fn" and codes.dtype == "u1"
        scales = file[codes.attrs["scales"].decode()][...]
        scales = scales.repeat(128, axis=-2).repeat(128, axis=-1)
        return e4m3[codes[...]] * scales[..., : codes.shape[-2], : codes.shape[-1]]

    compared = 0
    with h5py.File(os.path.join(checkpoint_of("one"), "checkpoint.h5")) as file:
        for tensor in fp8_of("one")["tensors"]:
            if not tensor["stored"]:
                assert f"fp8/{tensor['name']}" not in file
                continue
            compared += 1
            x, y = file[tensor["name"]][...].astype("f8"), weight(file, tensor["name"]).astype("f8")
            scales = file[f"fp8/{tensor['name']}{SCALES}"]
            rows, cols = x.shape[-2:]
            assert scales.shape[-2:] == (-(-rows // 128), -(-cols // 128)) and scales.shape[:-2] == x.shape[:-2]
            assert tensor["least_scale"] == scales[...].min() and tensor["largest_scale"] == scales[...].max()
            rms = numpy.sqrt(((x - y) ** 2).sum() / (x**2).sum())
            difference = 1 - 2 * (x * y).sum() / ((x**2).sum() + (y**2).sum())
            assert abs(tensor["relative_rms"] / rms - 1) < 1e-9 and 0 < rms < 0.04, (tensor, rms)
            assert abs(tensor["calc_diff"] - difference) < 1e-12 and difference < 1e-3, (tensor, difference)
            worst = tensor["worst_block"]
            at = (worst["expert"],) if "expert" in worst else ()
            at += tuple(slice(128 * worst[axis], 128 * worst[axis] + 128) for axis in ("row_block", "column_block"))
            rms = numpy.sqrt(((x[at] - y[at]) ** 2).sum() / (x[at] ** 2).sum())
            assert abs(worst["relative_rms"] / rms - 1) < 1e-9, (tensor, rms)
            # Nearest code: the error is half a step of the larger of 2^-3 of the value and 2^-9 of the scale.
            assert (abs(x - y) <= numpy.maximum(abs(x) / 16, y * 0 + tensor["largest_scale"] * 2.0**-10) * 1.0001).all()
    assert compared > 8, compared


with tempfile.TemporaryDirectory() as work:
    os.chdir(work)
    check_layouts()
    check_names()
    check_alone()
    try:
        check_with_h5py()
    except ImportError as error:
        print(f"SKIPPED: {error.name} is not installed for {sys.executable} (the rest passed)")
        sys.exit(77)
    os.chdir("/")
print("FP8 forms of weights are what h5py, inspect and other layouts make of them")
