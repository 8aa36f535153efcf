"""input/shakespeare.yaml learns: what its header and docs/results.md promise, for three seeds.

    learns.py MORAY REPOSITORY

Trains the deck three times, minutes each. Only when MORAY_TEST_LONG is set, and with the text that the deck names:
input/tinyshakespeare.txt or the file in MORAY_TINYSHAKESPEARE. Otherwise 77, skipped, with the reason printed.
"""
import hashlib
import json
import os
import subprocess
import sys
import tempfile

SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
SEEDS = {1337: 1.640904, 1338: 1.633994, 1339: 1.625206}  # validation loss of the last step, the same bits everywhere
LARGEST_LOSS = 1.72  # nats a byte, mean of the seeds
LARGEST_VIOLATION = {"max_violation_each_step": 0.2, "max_violation_summed": 0.05}


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(77)


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"FAILED: {' '.join(command)} ended with {result.returncode}:\n{result.stdout[-2000:]}{result.stderr}")
    return result.stdout


def find_text(repository):
    path = os.environ.get("MORAY_TINYSHAKESPEARE") or os.path.join(repository, "input", "tinyshakespeare.txt")
    if not os.path.isfile(path):
        skip(f"no text at {path} (docs/results.md says where it comes from; or set MORAY_TINYSHAKESPEARE)")
    with open(path, "rb") as file:
        if hashlib.sha256(file.read()).hexdigest() != SHA256:
            sys.exit(f"FAILED: {path} is not the text of docs/results.md: its sha256 is another")
    return os.path.abspath(path)


def check_sizes(moray, deck):
    counts = json.loads(run(moray, "plan", deck, "--json"))["parameters"]
    assert 600_000 <= counts["active"] <= 850_000 and counts["total"] <= 1_500_000, counts


def main():
    if not os.environ.get("MORAY_TEST_LONG"):
        skip("only under MORAY_TEST_LONG=1 (it trains for ten minutes)")
    try:
        import h5py  # noqa: F401  the script below needs it
    except ImportError:
        skip(f"h5py is not installed for {sys.executable}")
    moray, repository = sys.argv[1:]
    text = find_text(repository)
    deck = os.path.join(repository, "input", "shakespeare.yaml")
    check_sizes(moray, deck)
    with tempfile.TemporaryDirectory() as work:
        folders = {seed: os.path.join(work, str(seed)) for seed in SEEDS}
        for seed, folder in folders.items():
            run(moray, "train", deck, "--out", folder, f"run.seed={seed}", "output.log_every=1",
                f"data.sources=[{{paths: [{text}]}}]")
        script = os.path.join(repository, "app", "analysis", "load_balance.py")
        print(run(sys.executable, script, *folders.values()))
        *runs, mean = json.loads(run(sys.executable, script, "--json", *folders.values()))
    assert mean["validation_loss"] <= LARGEST_LOSS, mean
    for name, largest in LARGEST_VIOLATION.items():
        assert mean[name] <= largest, (name, mean)
    for found, (seed, loss) in zip(runs, SEEDS.items()):
        assert f"{found['validation_loss']:.6f}" == f"{loss:.6f}", (seed, loss, found)


main()
