#!/usr/bin/env python3
"""Compares runs: a table, where their losses first differ, and one picture with all of them.

    compare_runs.py RUN RUN... [--x step|tokens|seconds] [-o FILE] [--smooth N] [--json]

The table has the last step, the last training loss (mean of the last N rows), the last and the lowest validation
loss, the median of tokens a second, and the first logged step whose loss has not the bits of the first run's: with
`determinism: exact` runs of one deck have the same bits on any layout, so that this tells whether two runs are the
same. -o draws losses, gradient norm, throughput and MaxVio over steps, tokens or seconds of computing.
"""
import argparse
import json
import sys

import numpy

from moray_figure import colour, draw_curve, load_pyplot, save, window_of, zoom_to
from moray_files import Metrics

SCRIPT = "compare_runs.py"


def first_difference(run, reference):
    """The first common step whose losses have different bits; None if there is none, "no common step" without any."""
    steps, ours, theirs = numpy.intersect1d(run["step"], reference["step"], return_indices=True)
    if not len(steps):
        return "no common step"
    # As integers: bits, so that NaN equals itself.
    differs = run["loss"][ours].view("i8") != reference["loss"][theirs].view("i8")
    return int(steps[differs][0]) if differs.any() else None


def summary(run, reference, rows):
    _, validation = run.measured("validation_loss")
    return {
        "run": run.name,
        "step": int(run["step"][-1]),
        "tokens": int(run["tokens"][-1]),
        "loss": float(run["loss"][-rows:].mean()),
        "validation_loss": float(validation[-1]) if len(validation) else None,
        "lowest_validation_loss": float(validation.min()) if len(validation) else None,
        "tokens_per_second": float(numpy.median(run["tokens_per_second"])),
        "first_different_step": first_difference(run, reference),
    }


def print_table(rows):
    width = max(4, *(len(row["run"]) for row in rows))
    print(f"{'run':<{width}}  {'step':>8} {'tokens':>12} {'loss':>8} {'validation':>10} {'lowest':>8} {'token/s':>9}  bits of the loss")

    def number(value, form):
        return "" if value is None else format(value, form)

    for row in rows:
        first = row["first_different_step"]
        same = "equal in all common rows" if first is None else first if isinstance(first, str) else f"differ from step {first} on"
        print(f"{row['run']:<{width}}  {row['step']:>8} {row['tokens']:>12} {row['loss']:>8.4f} "
              f"{number(row['validation_loss'], '.4f'):>10} {number(row['lowest_validation_loss'], '.4f'):>8} "
              f"{row['tokens_per_second']:>9.0f}  {'(the first)' if row is rows[0] else same}")


def axis_of(run, x):
    """What a row is drawn over. Seconds are those of logged steps, so steps between are counted like them."""
    if x == "seconds":
        between = numpy.diff(run["step"], prepend=0)
        return numpy.cumsum(run["seconds"] * between)
    return run[x]


def draw(runs, x, smooth):
    pyplot = load_pyplot(SCRIPT)
    figure, axes = pyplot.subplots(2, 2, figsize=(11, 6.4), layout="constrained", sharex=True)
    (loss, validation), (norm, last) = axes
    experts = all(run.trunk_layers() for run in runs)
    for index, run in enumerate(runs):
        shade, at, window = colour(index), axis_of(run, x), window_of(len(run), smooth)
        draw_curve(loss, at, run["loss"], shade, window, run.name)
        rows = ~numpy.isnan(run["validation_loss"])
        validation.plot(at[rows], run["validation_loss"][rows], color=shade, marker="o", markersize=3.5)
        draw_curve(norm, at, run["gradient_norm"], shade, window)
        if experts:
            draw_curve(last, at, run["max_violation"][:, : run.trunk_layers()].mean(axis=1), shade, window)
        else:
            draw_curve(last, at, run["tokens_per_second"], shade, window)
    zoom_to(loss, numpy.concatenate([run["loss"] for run in runs]))
    zoom_to(norm, numpy.concatenate([run["gradient_norm"] for run in runs]))
    loss.set(title="Training loss", ylabel="nats a token")
    validation.set(title="Validation loss", ylabel="nats a token")
    norm.set(title="Gradient norm")
    last.set(title="MaxVio, mean of MoE layers" if experts else "Tokens a second", ylim=(0, None))
    for axis in axes[-1]:
        axis.set_xlabel({"step": "step", "tokens": "tokens", "seconds": "seconds of computing"}[x])
    loss.legend()
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="runs' folders, or metrics files; two or more")
    parser.add_argument("--x", choices=("step", "tokens", "seconds"), default="step", help="what to draw over (step)")
    parser.add_argument("-o", "--output", metavar="FILE", help="draw into FILE (.png, .svg, .pdf)")
    parser.add_argument("--smooth", type=int, metavar="N", help="rows to average over; a fiftieth of all if not given")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if len(options.runs) < 2:
        parser.error("two runs or more are compared; plot_run.py draws one")
    try:
        runs = [Metrics(path) for path in options.runs]
        rows = [summary(run, runs[0], window_of(len(run), options.smooth)) for run in runs]
        figure = draw(runs, options.x, options.smooth) if options.output else None
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"{SCRIPT}: {error}")
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)
    if figure:
        save(figure, options.output, SCRIPT)


if __name__ == "__main__":
    main()
