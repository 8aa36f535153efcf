"""Metrics files whose numbers are known, for the tests of app/analysis, and the calls of its scripts."""

import os
import subprocess
import sys

try:
    import h5py
    import numpy
except ImportError as error:
    print(f"SKIPPED: {error.name} is not installed for {sys.executable}")
    sys.exit(77)

# Two layers of four experts, mean load 10. Layer 0 alternates, so that its sums are even; layer 1 always has the
# same favourite; layer 2 is that of an MTP module.
LAYER_0 = ([14, 6, 10, 10], [6, 14, 10, 10])
LAYER_1 = [10, 10, 5, 15]
MODULE = [40, 0, 0, 0]


def write_run(folder, steps, module=True, experts=True, validation=1.75):
    """A run's folder with the rows of these steps; validation at the first and at the last."""
    os.makedirs(folder)
    with h5py.File(os.path.join(folder, "metrics.h5"), "w") as file:
        file["step"] = numpy.array(steps, dtype="i8")
        file["validation_loss"] = [2.5] + [float("nan")] * (len(steps) - 2) + [validation]
        if module:
            file["mtp_loss"] = numpy.zeros((len(steps), 1))
        if experts:
            rows = [[LAYER_0[step % 2], LAYER_1] + ([MODULE] if module else []) for step in steps]
            file["loads"] = numpy.array(rows, dtype="i8")
            loads = file["loads"][()].astype(float)
            file["max_violation"] = loads.max(axis=2) / loads.mean(axis=2) - 1


def script(name, *arguments):
    """Runs app/analysis/NAME of the repository that the test was given."""
    path = os.path.join(os.path.abspath(sys.argv[1]), "app", "analysis", name)
    return subprocess.run([sys.executable, path, *arguments], capture_output=True, text=True, check=False)


def assert_near(value, expected):
    assert abs(value - expected) < 1e-12, (value, expected)


def assert_refused(result, words):
    """One message with these words, nothing else."""
    assert result.returncode == 1 and words in result.stderr and "Traceback" not in result.stderr, (words, result)
    assert not result.stdout, result.stdout
