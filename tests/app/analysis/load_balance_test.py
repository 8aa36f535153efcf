"""app/analysis/load_balance.py on metrics whose balance is known. Usage: load_balance_test.py REPOSITORY; 77 means
skipped, with the reason printed."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile

try:
    import h5py
    import numpy
except ImportError as error:
    print(f"SKIPPED: {error.name} is not installed for {sys.executable}")
    sys.exit(77)

SCRIPT = os.path.join(os.path.abspath(sys.argv[1]), "app", "analysis", "load_balance.py")

# Two layers of four experts, mean load 10. Layer 0 alternates, so that its sums are even; layer 1 always has the
# same favourite; layer 2 is that of an MTP module and must not count.
LAYER_0 = ([14, 6, 10, 10], [6, 14, 10, 10])
LAYER_1 = [10, 10, 5, 15]
MODULE = [40, 0, 0, 0]


def write_run(folder, steps, module=True, experts=True):
    """A run's folder with the rows of these steps; validation at the first and at the last."""
    os.makedirs(folder)
    with h5py.File(os.path.join(folder, "metrics.h5"), "w") as file:
        file["step"] = numpy.array(steps, dtype="i8")
        file["validation_loss"] = [2.5] + [float("nan")] * (len(steps) - 2) + [1.75]
        if module:
            file["mtp_loss"] = numpy.zeros((len(steps), 1))
        if experts:
            rows = [[LAYER_0[step % 2], LAYER_1] + ([MODULE] if module else []) for step in steps]
            file["loads"] = numpy.array(rows, dtype="i8")


def script(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def near(value, expected):
    assert abs(value - expected) < 1e-12, (value, expected)


def check_numbers(work):
    folders = [os.path.join(work, name) for name in ("with-mtp", "without")]
    for folder, module in zip(folders, (True, False)):
        write_run(folder, range(1, 21), module)
    result = script(*folders, "--steps", "10", "--json")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [row["run"] for row in rows] == ["with-mtp", "without", "mean"]
    for row in rows:
        near(row["validation_loss"], 1.75)
        near(row["max_violation_each_step"], (0.4 + 0.5) / 2)
        near(row["max_violation_summed"], (0.0 + 0.5) / 2)
        near(row["max_violation_summed_worst_layer"], 0.5)
    assert rows[0]["step"] == 20
    table = script(folders[0], "--steps", "10")
    assert "1.7500      0.450    0.250        0.500" in table.stdout, table.stdout
    if importlib.util.find_spec("matplotlib"):
        picture = os.path.join(work, "loads.png")
        result = script(*folders, "--steps", "10", "--plot", picture)
        assert result.returncode == 0 and os.path.getsize(picture) > 1000, result.stderr
    else:
        print("matplotlib is not installed: --plot was not tried")


def check_refusals(work):
    """Rows that are missing, and files that say nothing about balance, are errors with a remedy."""
    sparse = os.path.join(work, "sparse")
    write_run(sparse, range(10, 201, 10))
    short = os.path.join(work, "short")
    write_run(short, range(1, 6))
    dense = os.path.join(work, "dense")
    write_run(dense, range(1, 201), experts=False)
    for path, words in (
        (sparse, "output.log_every=1"),
        (short, "fewer --steps"),
        (dense, "no experts"),
        (os.path.join(work, "nowhere"), "nowhere"),
    ):
        result = script(path)
        assert result.returncode == 1 and words in result.stderr and "Traceback" not in result.stderr, (path, result)
        assert not result.stdout


with tempfile.TemporaryDirectory() as work_folder:
    check_numbers(work_folder)
    check_refusals(work_folder)
print("all right")
