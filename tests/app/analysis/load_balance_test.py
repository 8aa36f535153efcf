"""app/analysis/load_balance.py on metrics whose balance is known. Usage: load_balance_test.py REPOSITORY; 77 means
skipped, with the reason printed."""

import importlib.util
import json
import os
import tempfile

from sample_runs import assert_near, assert_refused, script, write_run

SCRIPT = "load_balance.py"


def check_numbers(work):
    folders = [os.path.join(work, name) for name in ("with-mtp", "without")]
    for folder, module in zip(folders, (True, False)):
        write_run(folder, range(1, 21), module)
    result = script(SCRIPT, *folders, "--steps", "10", "--json")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [row["run"] for row in rows] == ["with-mtp", "without", "mean"]
    for row in rows:
        assert_near(row["validation_loss"], 1.75)
        assert_near(row["max_violation_each_step"], (0.4 + 0.5) / 2)
        assert_near(row["max_violation_summed"], (0.0 + 0.5) / 2)
        assert_near(row["max_violation_summed_worst_layer"], 0.5)
    assert rows[0]["step"] == 20
    table = script(SCRIPT, folders[0], "--steps", "10")
    assert "1.7500      0.450    0.250        0.500" in table.stdout, table.stdout
    if importlib.util.find_spec("matplotlib"):
        picture = os.path.join(work, "loads.png")
        result = script(SCRIPT, *folders, "--steps", "10", "-o", picture)
        assert result.returncode == 0 and os.path.getsize(picture) > 1000, result.stderr
    else:
        print("matplotlib is not installed: -o was not tried")


def check_refusals(work):
    """Rows that are missing, and files that say nothing about balance, are errors with a remedy."""
    sparse, short, dense = (os.path.join(work, name) for name in ("sparse", "short", "dense"))
    write_run(sparse, range(10, 201, 10))
    write_run(short, range(1, 6))
    write_run(dense, range(1, 201), experts=False)
    assert_refused(script(SCRIPT, sparse), "output.log_every=1")
    assert_refused(script(SCRIPT, short), "fewer --steps")
    assert_refused(script(SCRIPT, dense), "no experts")
    assert_refused(script(SCRIPT, os.path.join(work, "nowhere")), "nowhere")


with tempfile.TemporaryDirectory() as work_folder:
    check_numbers(work_folder)
    check_refusals(work_folder)
print("all right")
