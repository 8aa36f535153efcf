"""Statistics of FP8 of a run: the file that `moray train` writes, on one rank and on four, after a stop, and what `moray
inspect` shows of it. Usage: fp8_statistics_test.py MORAY REPOSITORY [MPIRUN...]; 77 means skipped."""

import csv
import json
import os
import subprocess
import sys
import tempfile

MORAY, REPOSITORY = (os.path.abspath(path) for path in sys.argv[1:3])
MPIRUN = sys.argv[3:]
if not MPIRUN:
    print("SKIPPED: no mpirun")
    sys.exit(77)
DECK = os.path.join(REPOSITORY, "tests", "golden", "fp8.yaml")
COUNTED = ["output.fp8_every=2 steps", "run.length=5 steps", "output.log_every=3"]


def run(*command, code=0):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == code, (command, done.stdout, done.stderr)
    return done.stdout + done.stderr


def train(out, ranks, *changes):
    return run(*MPIRUN[:1], "-n", str(ranks), *MPIRUN[1:], MORAY, "train", DECK, "--out", out, *changes)


def table(out):
    with open(os.path.join(out, "fp8", "metrics.csv"), encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names(out):
    with open(os.path.join(out, "fp8", "tensors.txt"), encoding="utf-8") as file:
        return file.read().split()


def check_names(found):
    assert found[0] == "model.layers.0.self_attn.q_a_proj+kv_a_proj_with_mqa", found
    assert "model.layers.0.self_attn.o_proj" not in found  # float32
    assert "model.layers.1.self_attn.o_proj" in found
    assert "model.layers.1.mlp.experts.gate_proj+up_proj" in found and "model.layers.1.mlp.experts.down_proj" in found
    assert "model.layers.2.mlp.experts.gate_proj+up_proj" in found and "model.layers.2.mlp.experts.down_proj" not in found  # bf16
    assert "model.layers.4.eh_proj" in found, found  # of MTP
    assert len(found) == len(set(found))


def check_counts(rows, found):
    """Numbers that follow from the deck alone: 16 sequences of 136 positions, width 144, 3 of 8 experts of width 136."""
    tokens = 16 * 136
    assert [int(row["step"]) for row in rows] == [2, 4]
    assert [int(row["tokens"]) for row in rows] == [2 * tokens, 4 * tokens]
    expected = {"model.layers.1.mlp.experts.gate_proj+up_proj": (tokens * 144, 3 * tokens * 272, 8 * 272 * 144),
                "model.layers.1.mlp.experts.down_proj": (3 * tokens * 136, tokens * 144, 8 * 144 * 136),
                "model.layers.1.self_attn.o_proj": (tokens * 144, tokens * 144, 144 * 144),
                "model.layers.0.mlp.down_proj": (tokens * 176, tokens * 144, 144 * 176)}
    blocks = {"model.layers.1.mlp.experts.gate_proj+up_proj": (tokens * 2, 3 * tokens * 3, 8 * 3 * 2)}
    for row in rows:
        for name, counts in expected.items():
            i = found.index(name)
            assert tuple(int(row[f"values[{i}][{r}]"]) for r in range(3)) == counts, (name, counts)
        for name, counts in blocks.items():
            i = found.index(name)
            assert tuple(int(row[f"blocks[{i}][{r}]"]) for r in range(3)) == counts, (name, counts)
        for i in range(len(found)):
            for r in range(3):
                count = {key: float(row[f"{key}[{i}][{r}]"]) for key in ("values", "blocks", "underflow", "saturated", "clamped", "least_amax", "largest_amax")}
                # With float32 scales the largest value of a block has the largest code, unless its scale is that of 1e-4. What
                # is dispatched to experts, their x and the gradients of their outputs, has scales of powers of two.
                dispatched = (r == 0 and found[i].endswith("experts.gate_proj+up_proj")) or (r == 1 and found[i].endswith("experts.down_proj"))
                least = 0 if dispatched else count["blocks"] - count["clamped"]
                assert least <= count["saturated"] <= count["values"], (found[i], r, count)
                assert 0 <= count["underflow"] < count["values"] and 0 <= count["least_amax"] <= count["largest_amax"] < 1e6, count
                if f"scales[{i}][{r}][0]" in row:
                    assert sum(int(row[f"scales[{i}][{r}][{e}]"]) for e in range(48)) == count["blocks"]


def check_inspect(out, rows, found):
    shown = json.loads(run(MORAY, "inspect", out, "--fp8", "--json"))
    assert list(shown) == ["fp8"] and shown["fp8"]["step"] == 4 and shown["fp8"]["counted_steps"] == 2
    assert [tensor["name"] for tensor in shown["fp8"]["tensors"]] == found
    for i, tensor in enumerate(shown["fp8"]["tensors"]):
        for r, role in enumerate(("x", "dy", "w")):
            for key in ("values", "blocks", "underflow", "saturated", "clamped"):
                assert tensor[role][key] == int(rows[-1][f"{key}[{i}][{r}]"]), (tensor["name"], role, key)
            assert sum(tensor[role]["scales"]["blocks"]) == tensor[role]["blocks"]
    text = run(MORAY, "inspect", out, "--fp8")
    lines = text.splitlines()
    assert "step 4" in lines[0] and len(lines) == 2 + 3 * len(found), text
    tensor = shown["fp8"]["tensors"][0]["dy"]
    line = next(line for line in lines[2:] if line.split()[0] == "dy")
    assert f"{tensor['largest_amax']:.3e}" in line and f"{100 * tensor['underflow'] / tensor['values']:.4g} %" in line, line
    page = "page.html"
    run(MORAY, "inspect", out, "--html", page)
    with open(page, encoding="utf-8") as file:
        data = file.read().split('id="report"', 1)[1].split(">", 1)[1].split("</script>", 1)[0]
    report = json.loads(data)["runs"][0]
    assert report["fp8"] == shown["fp8"] and report["grids"]["fp8"]["step"] == [2, 4] and not report["notes"], report["notes"]


with tempfile.TemporaryDirectory() as work:
    os.chdir(work)
    train("one", 1, *COUNTED)
    tensors, one = names("one"), table("one")
    check_names(tensors)
    check_counts(one, tensors)
    check_inspect("one", one, tensors)
    train("four", 4, *COUNTED, "parallel.pipeline=2", "parallel.data=2", "parallel.expert=2", "parallel.schedule=dualpipe", "batch.micro=1")
    assert names("four") == tensors and table("four") == one
    # Stopped behind the second step and gone on: no row twice, and the same ones.
    train("stopped", 1, *COUNTED, "run.length=2 steps")
    assert table("stopped") == one[:1]
    run(MORAY, "train", DECK, "--out", "stopped", "--resume", "auto", *COUNTED)
    assert table("stopped") == one
    # Off: nothing is written, and inspect shows what FP8 makes of the weights.
    train("off", 1, "run.length=1 steps")
    assert not os.path.exists("off/fp8")
    assert "model/layers/0/mlp/down_proj" in run(MORAY, "inspect", "off", "--fp8")
    assert "products in FP8" in run(MORAY, "check", DECK, "output.fp8_every=1", "precision.compute=bf16", code=2)
print("all right")
