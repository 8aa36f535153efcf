"""The page of `moray inspect --html` in a headless browser: every chart is there with all its points,
hovering reads the values of the run's files, in light and dark, wide and narrow, one run and two.
Usage: browser_test.py MORAY REPOSITORY [MPIRUN...]; 77 means skipped, with the reason printed."""

import base64
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

MORAY, REPOSITORY, MPIRUN = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3:]
HERE = os.path.dirname(os.path.abspath(__file__))
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
STEPS, EXPERTS = 24, 8
# A small model with two MoE layers and an MTP module; one logged row a step.
DECK = [f"run.length={STEPS} steps", "run.name=seen", "model.layers=3", "model.width=32", "model.dense_width=64", "attention.heads=2",
        "attention.latent=16", "attention.nope_width=16", "attention.rope_width=8", "attention.value_width=16", "attention.max_length=32",
        f"moe.experts={EXPERTS}", "moe.width=16", "mtp.depth=1", "batch.sequences=4", "batch.length=32", "output.log_every=1",
        "validation.every=8 steps", "validation.windows=4", "samples.tokens=0", "checkpoint.every=12 steps", "learning_rate.warmup=4 steps"]
TEXT = "</script><script>window.injected = 1</script><img src=x onerror='window.injected = 1'>"


def check(condition, message):
    if not condition:
        raise SystemExit(f"FAILED: {message}")


# DualPipe on two stages and two data ranks, which share the experts.
PIPELINE = ["run.length=3", "model.width=32", "model.dense_width=48", "attention.heads=2", "moe.width=16", "batch.sequences=16", "batch.length=32",
            "attention.max_length=32", "parallel.lanes=8", "parallel.expert_lanes=8", "validation.windows=4", "checkpoint.every=0",
            "parallel.pipeline=2", "parallel.data=2", "parallel.expert=2", "parallel.nodes=2", f"data.sources=[{{paths: [{REPOSITORY}/docs/*.md]}}]"]


def moray(*arguments, launcher=()):
    done = subprocess.run([*launcher, MORAY, *arguments], capture_output=True, text=True, timeout=300)
    check(done.returncode == 0, f"moray {' '.join(arguments)}: {done.stdout}{done.stderr}")


def browse(browser, page, wanted, *, dark=False, width=1280):
    """Opens a copy of a page with the probe, and returns what the probe saw."""
    text = open(page, encoding="utf-8").read()
    probe = open(os.path.join(HERE, "probe.js"), encoding="utf-8").read()
    text = text.replace("<head>", "<head><script>window.probe_errors = [];"
                        "window.addEventListener('error', (e) => window.probe_errors.push(String(e.message)));"
                        "document.addEventListener('securitypolicyviolation', (e) => window.probe_errors.push(e.blockedURI));</script>", 1)
    # The data come before the page's script, which ends with the only </script> in front of </body>.
    text = text.replace("</body>", f'<script type="application/json" id="wanted">{json.dumps(wanted)}</script><script>{probe}</script></body>', 1)
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "page.html")
        open(copy, "w", encoding="utf-8").write(text)
        done = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}/profile",
                               f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--window-size={width},900",
                               "--virtual-time-budget=5000", "--enable-logging=stderr", "--dump-dom", f"file://{copy}"],
                              capture_output=True, text=True, timeout=300)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    check(not console, f"{page}: the console says {console}")
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)
    check(found, f"{page}: the probe left nothing: {done.stderr[-2000:]}")
    seen = json.loads(urllib.parse.unquote(found.group(1)))
    check(seen["errors"] == [], f"{page}: errors {seen['errors']}")
    check(seen["misplaced"] == [], f"{page} at width {width}: {seen['misplaced']}")
    return seen


def number(text):
    """The first number of a text as the page writes it."""
    found = re.match(r"\s*([-−]?[\d,.]+(?:e-?\d+)?)\u2009?([kMBT]?)(?![A-Za-z])", text)
    check(found, f"'{text}' is no number")
    return float(found.group(1).replace(",", "").replace("−", "-")) * {"": 1, "k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}[found.group(2)]


def near(text, value, tolerance=1e-4):
    return abs(number(text) - value) <= tolerance * abs(value) + 1e-12


def value_at(seen, series, run=0):
    rows = [row["value"] for row in seen.get("rows") or [] if row["series"] == series and row["run"] == run]
    check(len(rows) == 1, f"{series} of run {run} is not in the tooltip {seen}")
    return rows[0]


def check_charts(seen, rows, runs):
    """Every chart exists with a point for each value of the file."""
    expected = {"loss": "loss", "learning_rate": "learning_rate", "gradient_norm": "gradient_norm", "max_violation": "max_violation",
                "throughput": "tokens_per_second", "seconds": "seconds"}
    for chart, series in expected.items():
        lines = [line for line in seen["charts"][chart]["lines"] if line["series"] == series]
        check([line["run"] for line in lines] == list(range(runs)), f"{chart}: lines {lines}")
        for line in lines:
            check(line["points"] == line["drawn"] == rows[line["run"]] and line["finite"], f"{chart}: {line}, not {rows} points")
    validation = [line for line in seen["charts"]["loss"]["lines"] if line["series"] == "validation_loss"]
    check(validation[0]["points"] == 3, f"validation {validation}")
    check([line["series"] for line in seen["charts"]["loss"]["lines"]].count("mtp_loss[0]") == runs, "no MTP loss")
    images = seen["charts"]["loads"]["images"]
    check(len(images) == 3 and all(i["rows"] == EXPERTS and i["columns"] == rows[0] and i["png"] for i in images), f"heat map {images}")
    check(len(seen["charts"]["bias"]["lines"]) == EXPERTS and seen["charts"]["bias"]["lines"][0]["points"] == rows[0], "bias")
    check([bar["series"] for bar in seen["charts"]["memory"]["bars"]] == ["plan", "measured"] * runs, "memory")
    check(all(bar["width"] > 20 for bar in seen["charts"]["memory"]["bars"]), "memory bars")
    timers = {bar["series"] for bar in seen["charts"]["timers"]["bars"]}
    check({"step", "step/forward", "step/backward", "validation", "checkpoint"} <= timers, f"timers {timers}")


def check_hover(seen, folder):
    """The tooltips show what metrics.csv and profile.json hold."""
    table = list(csv.DictReader(open(os.path.join(folder, "metrics.csv"), encoding="utf-8")))
    row = {int(r["step"]): r for r in table}
    for (chart, step), shown in zip(HOVER, seen["hover"]):
        check(shown["crosshairs"] > 4 and shown["gone"], f"{chart}: {shown['crosshairs']} crosshairs")
        check(any(re.search(rf"\bstep {step}\b", place) for place in shown["places"]), f"{chart}: {shown['places']} has no step {step}")
        for column in COLUMNS[chart]:
            check(near(value_at(shown, column), float(row[step][column])), f"{chart} at {step}: {shown} is not {row[step][column]}")
        if chart == "loss":
            check(near(value_at(shown, "mtp_loss[0]"), float(row[step]["mtp_loss[0]"])), f"MTP loss at {step}")
            check(near(shown["legend"][0], float(row[step]["loss"]), 1e-3), f"legend {shown['legend']}")
        if chart == "max_violation":  # the trunk's layers, without the MTP module's
            layers = [float(row[step][f"max_violation[{i}]"]) for i in range(2)]
            shown = value_at(shown, "max_violation")
            spread = re.search(r"\((.*) to (.*)\)", shown)
            check(layers[0] != layers[1] and spread, f"MaxVio {shown} spans no layers: {layers}")
            check(near(shown, sum(layers) / 2) and near(spread.group(1), min(layers)) and near(spread.group(2), max(layers)), f"MaxVio {shown}: {layers}")
        if chart == "bias":
            for e in range(EXPERTS):
                check(abs(number(value_at(shown, f"expert {e}")) - float(row[step][f"bias[0][{e}]"])) < 1e-4, f"bias {shown}")
    validation = next(shown for (chart, step), shown in zip(HOVER, seen["hover"]) if chart == "loss" and step == 16)
    check(near(value_at(validation, "validation_loss"), float(row[16]["validation_loss"])), f"validation {validation}")
    for (layer, expert, step), shown in zip(CELLS, seen["experts"]):
        check(shown["places"][0].startswith(f"step {step} "), f"heat map at {step}: {shown}")
        loads = [float(row[step][f"loads[{layer}][{e}]"]) for e in range(EXPERTS)]
        values = {r["series"]: r["value"] for r in shown["rows"]}
        check(abs(number(values["load"]) - loads[expert]) < 0.06, f"load {shown} is not {loads[expert]}")
        check(abs(number(values["ratio"]) - EXPERTS * loads[expert] / sum(loads)) < 1e-3, f"load {shown}")
    profile = json.load(open(os.path.join(folder, "profile.json"), encoding="utf-8"))
    values = {r["series"]: r["value"] for r in seen["memory"]["rows"]}
    check(number(values["bytes"]) == profile["resident_bytes"]["peak"], f"memory {values}")
    values = {r["series"]: r["value"] for r in seen["weights"]["rows"]}
    check(number(values["bytes"]) == profile["arena_bytes"]["weights"], f"weights {values}")
    forward = next(p for p in profile["parts"] if p["name"] == "step/forward")
    values = {r["series"]: r["value"] for r in seen["timer"]["rows"]}
    check(number(values["calls"]) == forward["calls"], f"forward {values}")
    kernel = profile["kernels"][0]
    of_kernel = {r["series"]: r["value"] for r in seen["kernel"]["rows"]}
    check(number(of_kernel["calls"]) == kernel["calls"] > 0 and len(seen["charts"]["kernels"]["bars"]) == 17, f"kernel {of_kernel}")
    milliseconds = number(values["slowest rank"]) * (1 if "ms" in values["slowest rank"] else 1e3)
    check(abs(milliseconds - 1e3 * forward["slowest_seconds"]) < 0.01 * milliseconds, f"forward {values}")


def check_sent(seen, run):
    """What ranks sent: as profile.json says, and but for tokens, which are a mean, as planned."""
    with open(os.path.join(run, "profile.json"), encoding="utf-8") as file:
        sent = {kind["name"]: kind["inside_mean"] + kind["across_mean"] for kind in json.load(file)["sent_bytes_per_step"]}
    check(sent.keys() == seen["sent"].keys() and {"activations", "tokens", "dense_sums", "direction_weights"} <= sent.keys(), f"kinds {seen['sent'].keys()}")
    for name, shown in seen["sent"].items():
        values = {r["series"]: number(r["value"]) for r in shown["rows"]}
        check(abs(values["sent"] - sent[name]) <= 0.5, f"{name}: {values} is not {sent[name]}")
        check(name == "tokens" or values["planned"] == values["sent"], f"{name}: {values}")


def check_copies(seen, run):
    """In how many copies a token went: as profile.json counts, beside what the plan says of the deck."""
    with open(os.path.join(run, "profile.json"), encoding="utf-8") as file:
        counted = json.load(file)["token_copies"]
    deck = os.path.join(run, "resolved.yaml")
    done = subprocess.run([MORAY, "plan", deck, "--json"], capture_output=True, text=True, check=True)
    planned = json.loads(done.stdout)["traffic"]
    for kind, across, inside in (("counted", counted["across_nodes"], counted["inside_nodes"]),
                                 ("planned", planned["copies_across_nodes"], planned["copies_inside_nodes"])):
        values = {r["series"]: number(r["value"]) for r in seen["copies"][kind]["rows"]}
        check(abs(values["to other nodes"] - across) < 1e-4 and abs(values["to ranks of its node"] - inside) < 1e-4, f"{kind}: {values}")
    check(0 < counted["across_nodes"] <= 1 and counted["inside_nodes"] == 0, f"two nodes of a rank: {counted}")


def check_fp8(browser, page, run):
    """What quantisation did, as `inspect --fp8` says: curves over steps, and a map of the scales of each role."""
    done = subprocess.run([MORAY, "inspect", run, "--fp8", "--json"], capture_output=True, text=True, check=True)
    tensors = json.loads(done.stdout)["fp8"]["tensors"]
    cells = [(role, row, max(range(len(blocks)), key=blocks.__getitem__) + tensors[row][role]["scales"]["exponent"])
             for role in ("x", "dy", "w") for row in (0, len(tensors) - 1) for blocks in [tensors[row][role]["scales"]["blocks"]]]
    for options in ({}, {"dark": True}, {"width": 400}):
        seen = browse(browser, page, {**NOTHING, "scales": cells}, **options)
        for chart in ("fp8_underflow", "fp8_saturated", "fp8_amax"):
            lines = seen["charts"][chart]["lines"]
            check([line["series"] for line in lines] == [f"{chart}_{role}" for role in ("x", "dy", "w")], f"{chart}: {lines}")
            check(all(line["points"] == 2 and line["finite"] for line in lines), f"{chart}: {lines}")
        images = seen["charts"]["fp8_scales"]["images"]
        check(len(images) == 3 and all(image["rows"] == len(tensors) and image["png"] for image in images), f"maps of scales {images}")
        for (role, row, exponent), shown in zip(cells, seen["scales"]):
            counted, values = tensors[row][role], {r["series"]: r["value"] for r in shown["rows"]}
            check(shown["places"] == [f"{tensors[row]['name']}: {role}"], f"{role} of {row}: {shown}")
            check(near(values["amax of a block"], counted["least_amax"], 5e-3), f"amax {shown}, not {counted}")
            here = counted["scales"]["blocks"][exponent - counted["scales"]["exponent"]]
            check(near(values[f"scale from 2^{exponent} to 2^{exponent + 1}"], 100 * here / counted["blocks"], 5e-3), f"scales {shown}, not {counted}")


def milliseconds(text):
    return number(text) * {"µs": 1e-3, "ms": 1, "s": 1e3}[re.search(r"(µs|ms|s)$", text).group(1)]


def check_ticks(ticks, unit):
    """Labels of the time axis are numbers at equal distances, in the unit that stands at the end."""
    check(ticks[-1] == unit, f"unit of {ticks}")
    values = [float(tick) for tick in ticks[:-1]]
    check(len(values) > 3 and values[0] == 0, f"ticks {ticks}")
    check(all(abs(v - i * values[1]) < 1e-9 for i, v in enumerate(values)), f"distances of {ticks}")


def slow_down(run, length_us):
    """As if the recorded step had taken so long."""
    path = os.path.join(run, "traces", "step_00000002.timeline.json")
    file = json.load(open(path, encoding="utf-8"))
    factor = length_us / file["length_us"]

    def scaled(value, name=""):
        if isinstance(value, dict):
            return {key: scaled(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [scaled(inner, name) for inner in value]
        return value * factor if re.search(r"(^|_)us$", name) else value

    with open(path, "w", encoding="utf-8") as out:
        json.dump(scaled(file), out)


def check_timeline(seen, run):
    """Every op of every rank, planned above measured, where the file says that it was."""
    files = os.path.join(run, "traces", "step_00000002.timeline.json")
    file, seen = json.load(open(files, encoding="utf-8")), seen["timeline"]
    scales = []
    for key, data in (("ops", 0), ("other", 1)):
        for place, wanted in enumerate(file["ops"]):
            measured = next(r for r in file["ranks"] if (r["data"], r["pipeline"]) == (data, place))
            for kind, times in (("planned", file["planned"][place]), ("measured", measured)):
                ops = [op for op in seen[key] if op["kind"] == kind and op["rank"] == measured["rank"]]
                check([op["op"] for op in ops] == wanted, f"{kind} ops of rank {measured['rank']}: {ops}")
                for op, start, end in zip(ops, times["start_us"], times["end_us"]):
                    check(len(op["boxes"]) == op["op"].count(":") and all(b["fill"] != "none" for b in op["boxes"]), f"boxes {op}")
                    check(all(b["width"] > 0 for b in op["boxes"]), f"width {op}")
                    numbers = re.findall(r":(\d+)", op["op"])
                    check(set(op["numbers"]) <= set(numbers), f"numbers {op}")
                    scales.append((op["boxes"][0]["x"], start))
    # One scale for all: x = a + b start, from the first to the last.
    (x0, t0), (x1, t1) = min(scales, key=lambda s: s[1]), max(scales, key=lambda s: s[1])
    slope = (x1 - x0) / (t1 - t0)
    check(all(abs(x0 + slope * (t - t0) - x) < 0.5 for x, t in scales), f"scale {scales}")
    shares = file["shares"]
    check(near(re.search(r"bubble (.*)", seen["groups"][0]).group(1), 100 * shares["planned_bubble"], 5e-3), seen["groups"])
    bubble, exposed = re.search(r"bubble (.*), exposed communication (.*)", seen["groups"][1]).groups()
    check(near(bubble, 100 * shares["bubble"], 5e-3) and near(exposed, 100 * (shares["tokens"] + shares["stages"]), 5e-3), seen["groups"])
    check(len(seen["waits"]) == 2 * len(file["ops"]), f"idle of each row {seen['waits']}")
    for kind, place in (("planned", 0), ("measured", 0)):
        tip = seen[kind]
        times = file["planned"][place] if kind == "planned" else file["ranks"][place]
        at = file["ops"][place].index(tip["op"])
        values = {r["series"]: r["value"] for r in tip["rows"]}
        takes = (times["end_us"][at] - times["start_us"][at]) / 1e3
        check(abs(milliseconds(values["takes"]) - takes) < 0.006 * takes, f"tooltip {tip}, not {takes} ms")
        check(("planned" in values) == (kind == "measured"), f"tooltip {tip}")
        check(tip["places"][0].startswith(tip["op"] + ": forward of micro-batch"), f"tooltip {tip}")
    check(0 < len(seen["closer"]["ops"]) < len(seen["ops"]) == seen["restored"], "zoom of the timeline")
    check(len(seen["closer"]["ticks"]) > 3, f"ticks {seen['closer']['ticks']}")
    names = [bar["name"] for bar in seen["phases"]]
    wanted = ["attention", "dispatch", "experts", "combine", "ends", "stages", "bubble", "reduce", "update"]
    check(names == [name for name in wanted if name != "stages" or "stages" in names], f"phases {names}")
    check([part for part, _ in seen["phases"][1]["parts"]] == ["F", "B", "waiting"], f"phases {seen['phases']}")
    waited = sum(p["waited_us"] for p in file["phases"] if p["phase"] == "dispatch") / 1e3
    shown = milliseconds({r["series"]: r["value"] for r in seen["waiting"]["rows"]}["time"])
    check(abs(shown - waited) < 0.006 * waited, f"waiting {seen['waiting']}, not {waited} ms")


def large(page):
    """Makes the run of a page one of 60 layers with 64 experts and 1000 steps in 20 buckets."""
    text = open(page, encoding="utf-8").read()
    begin = text.index('id="report">') + len('id="report">')
    end = text.index("</script>", begin)
    data = json.loads(text[begin:end])
    run = data["runs"][0]
    data["runs"] = [run]
    last = [50 * (i + 1) for i in range(20)]
    grid = {"step": last, "first": [s - 49 for s in last], "tokens": [1e9 * s for s in last], "seconds": [10 * s for s in last]}
    run["grids"] = {"rows": grid, "maps": {key: values[1::2] for key, values in grid.items()}}
    run["series"] = {"loss": {"unit": "nat/token", "grid": "rows", "mean": [2] * 20, "low": [1.5] * 20, "high": [9] * 20}}
    levels = base64.b64encode(bytes([0, 0] * 63 + [254, 255]) * 600).decode()  # the last expert of each layer has the most
    even = {"layers": 60, "experts": 64, "low": 0, "values": levels}
    run["maps"] = {"loads": {**even, "high": 8, "mean_load": [100] * 600}, "bias": {**even, "high": 0.1}}
    open(page, "w", encoding="utf-8").write(text[:begin] + json.dumps(data).replace("<", "\\u003c") + text[end:])


def luminance(colour):
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 765


def check_theme(look, dark):
    check((luminance(look["page"]) < 0.2) == dark and (luminance(look["page"]) > 0.8) != dark, f"page {look['page']}, dark: {dark}")
    check(look["text"] > 7 and look["axis"] > 3.5 and look["line"] > 3, f"contrast {look}")


def check_use(seen, dark):
    """Themes, zoom, logarithmic axis, other horizontal axis, keys."""
    check_theme(seen["preferred"], dark)
    check_theme(seen["dark"], True)
    check_theme(seen["light"], False)
    check_theme(seen["auto"], dark)
    check(seen["dark"]["heat"] != seen["light"]["heat"], "the heat map keeps its colours in another theme")
    low, high = seen["zoom"]["range"]
    check(abs(low - 5) < 0.1 and abs(high - 15) < 0.1 and seen["zoom"]["changed"] and seen["zoom"]["button"], f"zoom {seen['zoom']}")
    check(seen["restored"] and seen["log"] and seen["focus"] and seen["tokens"] == "tokens", "zoom, log or horizontal axis")
    check(seen["keys"]["places"][0].startswith("step 2 "), f"keys {seen['keys']}")
    check(seen["end"] == seen["charts"], "the page is not what it was")


HOVER = [["loss", 1], ["loss", 16], ["loss", 24], ["learning_rate", 7], ["gradient_norm", 12], ["max_violation", 9], ["bias", 20],
         ["throughput", 5], ["seconds", 18]]
COLUMNS = {"loss": ["loss"], "learning_rate": ["learning_rate"], "gradient_norm": ["gradient_norm"], "max_violation": [], "bias": [],
           "throughput": ["tokens_per_second"], "seconds": ["seconds"]}
CELLS = [[0, 0, 1], [0, 3, 10], [1, 2, 24], [2, 1, 17]]
NOTHING = {"hover": [], "experts": [], "use": False}
WANTED = {"hover": HOVER, "experts": CELLS, "use": True}


def main(browser, work):
    one, two = os.path.join(work, "first run"), os.path.join(work, "<b>second & \"last\"")
    deck = os.path.join(REPOSITORY, "input/quickstart.yaml")
    moray("train", deck, "--out", one, *DECK)
    moray("train", deck, "--out", two, *DECK, "moe.bias_rate=0", "run.length=10 steps", "validation.every=0 steps")
    page = os.path.join(work, "page.html")

    moray("inspect", "--html", page, one)
    for dark in (False, True):
        seen = browse(browser, page, WANTED, dark=dark)
        check(seen["title"] == "first run - Moray", f"title {seen['title']}")
        for word in ("first run", "done", "seen", "1234", "24"):
            check(word in seen["head"], f"the head lacks '{word}': {seen['head']}")
        check_charts(seen, [STEPS], 1)
        check_hover(seen, one)
        check_use(seen, dark)
    browse(browser, page, NOTHING, width=400)

    # Two runs; the second without validation, and it failed with words that are markup.
    open(os.path.join(two, "STATUS"), "w", encoding="utf-8").write(f"failed: {TEXT}\n")
    moray("inspect", "--html", page, one, two)
    seen = browse(browser, page, WANTED)
    check_charts(seen, [STEPS, 10], 2)
    check(TEXT in seen["head"] and '<b>second & "last"' in seen["head"], f"text of the run is not shown: {seen['head']}")
    check(len(seen["hover"][0]["rows"]) == 6, f"tooltip of two runs {seen['hover'][0]}")
    check({line["run"] for line in seen["one_hidden"]["loss"]["lines"]} == {1}, "a run is hidden by its box")
    browse(browser, page, NOTHING, width=400, dark=True)

    # What a large model's page has: many experts and layers, buckets of rows, an envelope.
    large(page)
    seen = browse(browser, page, {"hover": [["loss", 500], ["bias", 500]], "experts": [[0, 57, 990]], "use": False})
    check([(i["rows"], i["columns"]) for i in seen["charts"]["loads"]["images"]] == [(60, 10)], f"layers {seen['charts']['loads']}")
    check(len(seen["charts"]["bias"]["lines"]) == 64, "bias lines of 64 experts")
    loss, bias = seen["hover"]
    check(loss["places"][0].startswith("steps 451 to 500 ") and loss["rows"][0]["value"] == "2.0000 (1.5000 to 9.0000)", f"bucket {loss}")
    check(len(bias["rows"]) == 1 and bias["rows"][0]["value"].startswith("0.0"), f"one of many lines {bias}")
    check(seen["experts"][0]["rows"][0]["value"].startswith("8.00"), f"busiest expert {seen['experts']}")

    # A pipeline: planned and measured timeline.
    if MPIRUN:
        three = os.path.join(work, "pipeline")
        moray("train", os.path.join(REPOSITORY, "input/dualpipe.yaml"), "--out", three, *PIPELINE, launcher=(MPIRUN[0], "-n", "4", *MPIRUN[1:]))
        moray("inspect", "--html", page, three)
        for dark in (False, True):
            seen = browse(browser, page, NOTHING, dark=dark)
            check_timeline(seen, three)
            check_ticks(seen["timeline"]["ticks"], "ms")
            check_sent(seen, three)
            check_copies(seen, three)
        browse(browser, page, NOTHING, width=400)
        slow_down(three, 12.3e6)
        moray("inspect", "--html", page, three)
        check_ticks(browse(browser, page, NOTHING)["timeline"]["ticks"], "s")

    # A run in FP8 that counted what quantisation does.
    eight = os.path.join(work, "fp8")
    moray("train", os.path.join(REPOSITORY, "tests/golden/fp8.yaml"), "--out", eight, "output.fp8_every=1", "output.log_every=1")
    moray("inspect", "--html", page, eight)
    check_fp8(browser, page, eight)

    # A run that just began: nothing but a status.
    young = os.path.join(work, "young")
    os.makedirs(os.path.join(young, "checkpoints"))
    open(os.path.join(young, "STATUS"), "w", encoding="utf-8").write("running\n")
    moray("inspect", "--html", page, young)
    seen = browse(browser, page, NOTHING)
    check(seen["charts"] == {} and "running" in seen["head"], f"young run {seen}")
    print("all right")


found = next(filter(None, map(shutil.which, BROWSERS)), None)
if not found:
    print(f"SKIPPED: no browser: none of {', '.join(BROWSERS)} is installed")
    sys.exit(77)
with tempfile.TemporaryDirectory() as folder:
    main(found, folder)
