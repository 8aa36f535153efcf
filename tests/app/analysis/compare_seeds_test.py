"""app/analysis/compare_seeds.py on metrics whose numbers are known. Usage: compare_seeds_test.py REPOSITORY; 77
means skipped, with the reason printed."""

import importlib.util
import json
import os
import tempfile

from sample_runs import assert_near, assert_refused, script, write_run

SCRIPT = "compare_seeds.py"


def check_numbers(work):
    for name, validation in (("a-1", 1.5), ("a-2", 1.75), ("b-1", 2.0)):
        write_run(os.path.join(work, name), range(1, 21), validation=validation)
    groups = [f"first={work}/a-*", f"second one={work}/b-*"]
    result = script(SCRIPT, *groups, "--steps", "10", "--json")
    assert result.returncode == 0, result.stderr
    first, second = json.loads(result.stdout)
    assert (first["method"], second["method"]) == ("first", "second one")
    assert first["validation_losses"] == {"a-1": 1.5, "a-2": 1.75}
    assert_near(first["validation_loss"], 1.625)
    assert_near(second["validation_loss"], 2.0)
    for row in (first, second):
        assert_near(row["max_violation_each_step"], 0.45)
        assert_near(row["max_violation_summed"], 0.25)
    write_run(os.path.join(work, "dense-1"), range(1, 21), module=False, experts=False)
    groups.append(f"no experts={work}/dense-*")
    table = script(SCRIPT, *groups, "--steps", "10").stdout
    assert "no experts      1.7500          -        -  1.7500" in table, table
    assert "first           1.6250      0.450    0.250  1.5000 1.7500" in table, table
    if importlib.util.find_spec("matplotlib"):
        picture = os.path.join(work, "methods.png")
        result = script(SCRIPT, *groups, "--steps", "10", "-o", picture)
        assert result.returncode == 0 and os.path.getsize(picture) > 1000, result.stderr
    else:
        print("matplotlib is not installed: -o was not tried")


def check_refusals(work):
    write_run(os.path.join(work, "c-short"), range(1, 11))
    assert_refused(script(SCRIPT, f"{work}/a-*"), "is not NAME=RUNS")
    assert_refused(script(SCRIPT, f"none={work}/nothing-*"), "matches no run")
    assert_refused(script(SCRIPT, f"mixed={work}/[ac]-*", "--steps", "5"), "other steps")
    assert_refused(script(SCRIPT, f"short={work}/b-*"), "fewer --steps")
    assert_refused(script(SCRIPT, f"mixed={work}/[bd]*-1", "--steps", "5"), "no experts")


with tempfile.TemporaryDirectory() as work_folder:
    check_numbers(work_folder)
    check_refusals(work_folder)
print("all right")
