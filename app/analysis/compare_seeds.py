#!/usr/bin/env python3
"""Compares methods, each of which was run with several seeds: a table, and the curves of their means.

    compare_seeds.py NAME=RUNS... [--steps N] [--json] [-o FILE]

NAME is what the table and the picture call a method, RUNS a pattern of run folders, matched here:

    compare_seeds.py "bias=runs/bias-*" "no balancing=runs/none-*"

Printed for each method: the last validation loss (mean, and each run's in order of their names) and MaxVio of each
step and of summed loads over the last N steps, as load_balance.py defines them (- for models without experts). -o
draws the validation loss and MaxVio of a step over the run, the mean of the seeds with a band from the lowest to
the highest.
"""
import argparse
import glob
import json
import sys

import numpy

from load_balance import balance, last_validation, mean_of
from moray_figure import colour, load_pyplot, save, smoothed, window_of
from moray_files import Metrics

SCRIPT = "compare_seeds.py"
BALANCE = ("max_violation_each_step", "max_violation_summed")


def read_group(text):
    """NAME=PATTERN as (name, runs)."""
    name, equals, pattern = text.partition("=")
    if not (name and equals and pattern):
        raise ValueError(f"'{text}' is not NAME=RUNS")
    runs = [Metrics(path) for path in sorted(glob.glob(pattern))]
    if not runs:
        raise ValueError(f"'{pattern}' matches no run")
    for run in runs:
        if not numpy.array_equal(run["step"], runs[0]["step"]):
            raise ValueError(f"{run.path}: its rows are those of other steps than {runs[0].path}'s")
    return name, runs


def summary(name, runs, steps):
    losses = {run.name: last_validation(run) for run in runs}
    dense = not any(run.trunk_layers() for run in runs)
    figures = {} if dense else mean_of([balance(run, steps) for run in runs])
    return {
        "method": name,
        "validation_loss": float(numpy.mean(list(losses.values()))),
        "validation_losses": losses,
        **{figure: figures.get(figure) for figure in BALANCE},
    }


def print_table(rows):
    width = max(6, *(len(row["method"]) for row in rows))
    print(f"{'method':<{width}}  {'validation':>10}  {'each step':>9}  {'summed':>7}  runs")
    for row in rows:
        losses = " ".join(f"{loss:.4f}" for loss in row["validation_losses"].values())
        each, summed = ("-" if row[figure] is None else f"{row[figure]:.3f}" for figure in BALANCE)
        print(f"{row['method']:<{width}}  {row['validation_loss']:>10.4f}  {each:>9}  {summed:>7}  {losses}")


def draw_band(axis, steps, curves, shade, label, **style):
    curves = numpy.array(curves)
    axis.plot(steps, curves.mean(axis=0), color=shade, label=label, **style)
    if len(curves) > 1:
        axis.fill_between(steps, curves.min(axis=0), curves.max(axis=0), color=shade, alpha=0.18, linewidth=0)


def draw_violation(axis, runs, shade, label):
    """MaxVio of a step, mean of the model's MoE layers."""
    window = window_of(len(runs[0]))
    curves = [smoothed(run["max_violation"][:, : run.trunk_layers()].mean(axis=1), window) for run in runs]
    draw_band(axis, runs[0]["step"], curves, shade, label)


def draw(groups):
    pyplot = load_pyplot(SCRIPT)
    figure, (loss, violation) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for index, (name, runs) in enumerate(groups):
        measured = ~numpy.isnan(runs[0]["validation_loss"])
        losses = [run["validation_loss"][measured] for run in runs]
        draw_band(loss, runs[0]["step"][measured], losses, colour(index), name, marker="o", markersize=3.5)
        if all(run.trunk_layers() for run in runs):
            draw_violation(violation, runs, colour(index), name)
    loss.set(title="Validation loss", xlabel="step", ylabel="nats a token")
    violation.set(title="MaxVio of a step, mean of MoE layers", xlabel="step", ylim=(0, None))
    loss.legend()
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="+", metavar="NAME=RUNS")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="the last N steps (100)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("-o", "--output", metavar="FILE", help="draw into FILE (.png, .svg, .pdf)")
    options = parser.parse_args()
    if options.steps < 1:
        parser.error("--steps is at least 1")
    try:
        groups = [read_group(text) for text in options.groups]
        rows = [summary(name, runs, options.steps) for name, runs in groups]
        figure = draw(groups) if options.output else None
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
