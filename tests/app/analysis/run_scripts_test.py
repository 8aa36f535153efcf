"""plot_run.py, compare_runs.py, loss_gap.py and inspect_checkpoint.py on runs of the program. Usage:
run_scripts_test.py REPOSITORY MORAY; 77 means skipped, with the reason printed."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

from sample_runs import assert_refused, script

try:
    import matplotlib  # noqa: F401
    import numpy
except ImportError as error:
    print(f"SKIPPED: {error.name} is not installed for {sys.executable}")
    sys.exit(77)

REPOSITORY, MORAY = sys.argv[1:3] = [os.path.abspath(path) for path in sys.argv[1:3]]
sys.path.insert(0, os.path.join(REPOSITORY, "app", "analysis"))
from moray_files import Checkpoint, Metrics  # noqa: E402

TINY = os.path.join(REPOSITORY, "input", "tiny.yaml")
HELP_WORDS = {"plot_run.py": "--smooth", "compare_runs.py": "--x", "loss_gap.py": "--decay",
              "inspect_checkpoint.py": "--tensor"}


def moray(*arguments, code=0, **environment):
    result = subprocess.run([MORAY, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert result.returncode == code, (arguments, result)
    return result.stdout


def train(folder, length, *keys, **more):
    moray("train", TINY, "--out", folder, f"run.length={length}", "optimizer.moments=bf16", *keys, **more)


def succeeded(result):
    assert result.returncode == 0, result
    return result.stdout


def assert_picture(path, *words):
    """A PNG of some size, or an SVG whose text has these words."""
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(".png"):
        assert data.startswith(b"\x89PNG") and len(data) > 20000, (path, len(data))
    for word in words:  # matplotlib keeps each text as a comment beside its outlines
        assert f"<!-- {word} -->".encode() in data, (path, word)


def check_reading_while_it_runs():
    """The rows of a run that was killed in its second save: a segment and current.rows."""
    train("killed", 10)
    moray("train", TINY, "--out", "killed", "--resume", "auto", "run.length=20", "optimizer.moments=bf16", code=-9,
          MORAY_CHECKPOINT_DIE_AT="begin")
    train("whole", 20)
    killed = Metrics("killed")
    inspected = json.loads(moray("inspect", "killed", "--json", "--window", "20"))["run"]
    assert list(killed["step"]) == list(range(1, 21))
    assert killed["loss"][-10:].tolist() == [row["loss"] for row in inspected["rows"]]
    loads = [layer["loads"] for layer in inspected["balance"]["layers"]]
    assert killed["loads"].sum(axis=0).tolist() == loads
    whole, joined = Metrics("whole"), Metrics("whole/metrics.h5")
    for name in whole.columns:
        assert numpy.array_equal(whole[name], joined[name], equal_nan=True), name
    assert killed.units["loss"] == "nat/token" and killed.trunk_layers() == 1
    shutil.rmtree("killed/metrics")
    os.remove("killed/metrics.h5")
    assert_refused(script("plot_run.py", "killed"), "holds no metrics")


def check_plot_run():
    for run, word in (("whole", "Selection bias, MoE layer 1"), ("dense", "Gradient norm")):
        succeeded(script("plot_run.py", run))
        assert_picture(os.path.join(run, "plot.png"))
        succeeded(script("plot_run.py", run, "-o", "plot.svg", "--smooth", "3"))
        assert_picture("plot.svg", word)
    succeeded(script("plot_run.py", "whole/metrics.h5", "-o", "plot.svg", "--from", "5"))
    assert_picture("plot.svg", "metrics.h5: 20 steps, 2,560 tokens")
    assert_refused(script("plot_run.py", "whole", "--from", "21"), "no row from step 21")
    assert_refused(script("plot_run.py", "nowhere"), "nowhere")
    assert_refused(script("plot_run.py", "whole", "-o", "nowhere/plot.png"), "nowhere")


def check_compare_runs():
    rows = json.loads(succeeded(script("compare_runs.py", "whole", "ranks", "dense", "--json")))
    assert [row["first_different_step"] for row in rows] == [None, None, 1], rows
    assert rows[0]["validation_loss"] == rows[1]["validation_loss"] and rows[0]["tokens"] == 2560
    table = succeeded(script("compare_runs.py", "whole", "other", "-o", "compare.svg", "--x", "tokens"))
    assert "differ from step 1 on" in table, table
    assert_picture("compare.svg", "MaxVio, mean of MoE layers", "tokens")
    succeeded(script("compare_runs.py", "whole", "dense", "-o", "compare.png", "--x", "seconds"))
    assert_picture("compare.png")
    assert script("compare_runs.py", "whole").returncode == 2


def check_loss_gap():
    """Against the definition, written out."""
    rows = json.loads(succeeded(script("loss_gap.py", "whole", "other", "same=ranks", "--decay", "0.75", "--json")))
    base, run = (Metrics(name)["loss"].tolist() for name in ("whole", "other"))
    gaps, ours, theirs = [], run[0], base[0]
    for step in range(20):
        ours, theirs = 0.75 * ours + 0.25 * run[step], 0.75 * theirs + 0.25 * base[step]
        if step >= 10:
            gaps.append((ours - theirs) / theirs)
    expected = {"mean_gap": sum(gaps) / 10, "lowest_gap": min(gaps), "highest_gap": max(gaps)}
    for name, value in expected.items():
        assert abs(rows[0][name] - value) < 1e-12, (name, rows[0][name], value)
        assert rows[1][name] == 0, rows[1]
    assert rows[1]["run"] == "same" and rows[1]["validation_gap"] == 0 and rows[0]["validation_gap"] != 0
    table = succeeded(script("loss_gap.py", "one=whole", "two=other", "-o", "gap.svg", "--from", "5"))
    assert "after step 5," in table and "+0.000" not in table, table
    assert_picture("gap.svg", "Gap to one, percent", "two")
    assert_refused(script("loss_gap.py", "whole", "nowhere"), "nowhere")
    assert script("loss_gap.py", "whole").returncode == 2
    assert script("loss_gap.py", "whole", "other", "--decay", "1").returncode == 2


def check_inspect_checkpoint():
    """The script, which knows h5py alone, and the program, which does not know it, see the same."""
    ours = json.loads(succeeded(script("inspect_checkpoint.py", "whole", "--all", "--json")))
    theirs = json.loads(moray("inspect", "whole", "--all", "--json"))["checkpoint"]
    assert len(ours) == len(theirs["tensors"]) > 100
    for our, their in zip(ours, theirs["tensors"]):
        norm = their.pop("norm")
        assert abs(our.pop("norm") - norm) <= 1e-12 * norm, our
        assert our == their
    checkpoint = Checkpoint("whole")
    assert checkpoint.step == 20 and checkpoint.folder == theirs["path"]
    table = succeeded(script("inspect_checkpoint.py", theirs["path"], "--match", "gate/"))
    assert "mlp/gate/loads" in table and "embed_tokens" not in table and "optimizer" not in table, table
    values = succeeded(script("inspect_checkpoint.py", "whole", "--tensor", "model/layers/1/mlp/gate/loads"))
    assert values.split() == str(checkpoint.read("model/layers/1/mlp/gate/loads")).split()
    for run, word in (("whole", "Experts of layer 1"), ("dense", "Root mean square of each kind of matrix")):
        succeeded(script("inspect_checkpoint.py", run, "-o", "checkpoint.svg"))
        assert_picture("checkpoint.svg", word)
    assert_refused(script("inspect_checkpoint.py", "nowhere"), "neither a checkpoint")
    assert_refused(script("inspect_checkpoint.py", "whole", "--tensor", "nothing"), "no tensor 'nothing'")
    assert_refused(script("inspect_checkpoint.py", "whole", "--match", "("), "inspect_checkpoint.py")


def check_help():
    for name, word in HELP_WORDS.items():
        text = succeeded(script(name, "--help"))
        assert word in text and name in text, text


with tempfile.TemporaryDirectory() as work:
    os.chdir(work)
    check_help()
    check_reading_while_it_runs()
    train("ranks", 20, "batch.micro=1")
    train("other", 20, "run.seed=2")
    train("dense", 20, "model.dense_layers=2", "mtp.depth=0")
    check_plot_run()
    check_compare_runs()
    check_loss_gap()
    check_inspect_checkpoint()
print("all right")
