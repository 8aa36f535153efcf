"""What the commands print with --json is what docs/schema describes. Usage: json_test.py MORAY REPOSITORY; 77 means
skipped, with the reason printed."""

import json
import math
import os
import subprocess
import sys
import tempfile

try:
    import jsonschema
except ImportError as error:
    print(f"SKIPPED: {error.name} is not installed for {sys.executable}")
    sys.exit(77)

MORAY, REPOSITORY = (os.path.abspath(path) for path in sys.argv[1:3])
SCHEMAS = os.path.join(REPOSITORY, "docs", "schema")
SELF = os.path.abspath(__file__)
DEEPSEEK = os.path.join(REPOSITORY, "input", "deepseek-v3-671b.yaml")
TINY = os.path.join(REPOSITORY, "input", "tiny.yaml")
FP8 = os.path.join(REPOSITORY, "tests", "golden", "fp8.yaml")


def moray(*arguments, code=0):
    result = subprocess.run([MORAY, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert result.returncode == code, (arguments, result)
    return result.stdout


def schema_of(command):
    with open(os.path.join(SCHEMAS, command + ".schema.json"), encoding="utf-8") as file:
        return json.load(file)


def validator_of(command):
    schema = schema_of(command)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema", command
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def validated(command, *arguments, code=0):
    """The output of a command, which must be what the schema says."""
    value = json.loads(moray(command, *arguments, "--json", code=code))
    errors = [f"{error.json_path}: {error.message}" for error in validator_of(command).iter_errors(value)]
    assert not errors, (command, arguments, errors)
    return value


def check_decks():
    assert validated("check", TINY)["valid"]
    wrong = validated("check", TINY, "model.layer=3", "mtp.depth=-1", code=2)
    assert not wrong["valid"] and len(wrong["errors"]) == 2, wrong
    plan = validated("plan", TINY)
    assert plan["parameters"]["total"] == 39492 and plan["cache_elements_per_token"] == 2 * 24
    assert sum(module["total"] for module in plan["parameters"]["modules"]) == plan["parameters"]["total"]
    assert sum(plan["rank"]["bytes"].values()) == 2 * plan["rank"]["bytes"]["total"]
    big = validated("plan", DEEPSEEK, "--ranks", "2048")
    assert big["parameters"]["total"] > 671e9
    check_schedules()
    names = [plan["name"] for plan in validated(
        "plan", TINY, "--schedule", "all", "--durations", "1,1,1,2", "--pipeline", "3", "--micro-batches", "6")["schedules"]["plans"]]
    assert names == ["1f1b", "zb1p", "dualpipe", "dualpipev"], names
    machine = os.path.join(REPOSITORY, "input", "hardware", "h800-2048.yaml")
    big = validated("plan", DEEPSEEK, "--schedule", "dualpipe", "--hardware", machine)
    assert big["schedules"]["step_seconds"]["step"] > 1 and big["rank"]["fits"] is False
    assert validated("info")["variants"]["gemm"]
    assert validated("info", "--runtime")["runtime"]["ranks"] == 1


def check_schedules():
    sizes = ("--pipeline", "4", "--micro-batches", "6")
    plans = validated("plan", TINY, "--schedule", "all", "--durations", "1,1,1,2.75", *sizes)["schedules"]["plans"]
    assert [plan["name"] for plan in plans] == ["1f1b", "zb1p", "dualpipe", "dualpipev"]
    assert [plan["published_bubble_ms"] for plan in plans] == [9, 3, None, None], plans  # too few for the last two
    odd = validated("plan", TINY, "--schedule", "all", "--durations", "1,1,1,2.75", "--pipeline", "4",
                    "--micro-batches", "7")["schedules"]["plans"]
    assert ["problem" in plan for plan in odd] == [False, False, True, False], odd
    assert plans[0]["waiting_ms"] == plans[0]["published_bubble_ms"] == 9 and len(plans[0]["ranks"]) == 4
    v3 = [os.path.join(REPOSITORY, "input", *path) for path in (["deepseek-v3-671b.yaml"], ["hardware", "h800-2048.yaml"])]
    assert all("bytes" not in plan for plan in plans), plans  # the deck has one rank
    schedules = validated("plan", v3[0], "--schedule", "dualpipe", "--hardware", v3[1])["schedules"]
    assert schedules["plans"][0]["bytes"] == 192_052_812_032, schedules["plans"]
    step = schedules["step_seconds"]
    assert abs(sum(step["mean_rank"].values()) + step["optimizer"] - step["step"]) < 1e-9


def check_scores(texts):
    """Every byte of both files, their sum, and one loss in three units."""
    first, second, both = texts
    assert [first["bytes"], second["bytes"]] == [os.path.getsize(TINY), os.path.getsize(SELF)]
    assert both["text"] == "all" and both["bytes"] == first["bytes"] + second["bytes"]
    nats = sum(text["loss"] * text["tokens"] for text in (first, second))
    assert math.isclose(both["loss"] * both["tokens"], nats, rel_tol=1e-12)
    for text in texts:
        assert text["tokens"] == text["bytes"]  # a token a byte
        assert math.isclose(text["perplexity"], math.exp(text["loss"]), rel_tol=1e-12)
        assert math.isclose(text["bits_per_byte"] * math.log(2), text["loss"], rel_tol=1e-12)


def check_models(run, dense, wide, fp8):
    inspected = validated("inspect", run, "--all")
    assert inspected["run"]["rows"][-1]["step"] == inspected["checkpoint"]["step"] == 4
    assert len(inspected["run"]["balance"]["layers"]) == len(inspected["checkpoint"]["layers"]) == 2
    checkpoint = inspected["checkpoint"]["path"]
    assert "run" not in validated("inspect", checkpoint)
    assert validated("inspect", checkpoint, "--fp8")["checkpoint"]["fp8"]["tensors"]
    statistics = validated("inspect", fp8, "--fp8")["fp8"]
    assert statistics["step"] == 2 and statistics["counted_steps"] == 2, statistics
    assert {"x", "dy", "w"} <= set().union(*statistics["tensors"]), statistics["tensors"][0]
    assert "fp8" not in validated("inspect", run, "--fp8")  # nothing was counted in float32
    assert "balance" not in validated("inspect", dense)["run"]
    assert inspected["run"]["rows"][0]["validation_loss"] is None  # not measured
    assert validated("inspect", run, run, "--diff")["diff"]["equal"]
    other = validated("inspect", run, dense, "--diff", code=5)["diff"]
    assert not other["equal"] and other["only_a"] and other["only_b"], other
    assert validated("inspect", run, wide, "--diff", code=5)["diff"]["mismatches"]
    check_scores(validated("evaluate", run, TINY, SELF)["texts"])
    made = validated("generate", run, "--prompt", "a", "--prompt", "bc", "--tokens", "5", "--top-k", "9")
    assert [result["prompt"] for result in made["results"]] == ["a", "bc"]
    assert made["cache"]["elements_per_token_and_layer"] == 24


def check_page():
    """docs/json.md is what the schemas say; every member has a meaning."""
    page = subprocess.run([sys.executable, os.path.join(SCHEMAS, "describe.py")], capture_output=True, text=True, check=True).stdout
    with open(os.path.join(REPOSITORY, "docs", "json.md"), encoding="utf-8") as file:
        assert file.read() == page, "docs/json.md is old: docs/schema/describe.py > docs/json.md"
    files = {name.removesuffix(".schema.json") for name in os.listdir(SCHEMAS) if name.endswith(".json")}
    for name in files:
        assert f"## {schema_of(name)['title']}\n" in page, name


def check_timeline(run):
    """The timeline of the run's second step."""
    with open(os.path.join(run, "traces", "step_00000002.timeline.json"), encoding="utf-8") as file:
        timeline = json.load(file)
    errors = [f"{error.json_path}: {error.message}" for error in validator_of("timeline").iter_errors(timeline)]
    assert not errors, errors
    assert timeline["step"] == 2 and len(timeline["ops"]) == len(timeline["planned"]) == len(timeline["ranks"]) == 1


def check_measured_plan(run):
    """Schedules of two stages from the one that ran."""
    schedules = validated("plan", os.path.join(run, "resolved.yaml"), "--schedule", "all", "--pipeline", "2", "--measured", run)["schedules"]
    assert schedules["durations"]["measured"]["step"] == 2 and len(schedules["plans"][0]["stage_durations"]) == 2, schedules


def check_that_it_can_fail():
    value = json.loads(moray("plan", TINY, "--json"))
    for change in (lambda v: v.pop("run"), lambda v: v.update(more=1), lambda v: v["rank"].update(micro="2")):
        changed = json.loads(json.dumps(value))
        change(changed)
        assert not validator_of("plan").is_valid(changed)


check_page()
check_that_it_can_fail()
check_decks()
with tempfile.TemporaryDirectory() as work:
    os.chdir(work)
    moray("train", TINY, "--out", "run", "run.length=4")
    moray("train", TINY, "--out", "dense", "run.length=2", "model.dense_layers=2", "mtp.depth=0")
    moray("train", TINY, "--out", "wide", "run.length=2", "model.dense_width=128", "checkpoint.every=1")
    moray("train", FP8, "--out", "fp8", "output.fp8_every=1")
    check_models("run", "dense", "wide", "fp8")
    check_timeline("run")
    check_measured_plan("run")
print("all right")
