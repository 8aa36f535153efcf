#!/usr/bin/env python3
"""Compares methods, each of which was run with several seeds: a table, and the curves of their means.

    compare_seeds.py NAME=RUNS... [--steps N] [--json] [--plot FILE]

NAME is what the table and the picture call a method, RUNS a pattern of run folders, matched here:

    compare_seeds.py "bias=runs/bias-*" "no balancing=runs/none-*"

Printed for each method: the last validation loss (mean, and each run's in order of their names) and MaxVio of each
step and of summed loads over the last N steps, as load_balance.py defines them (- for models without experts).
--plot draws the validation loss and MaxVio of a step over the run, the mean of the seeds with a band from the
lowest to the highest (needs matplotlib).
"""
import argparse
import glob
import json
import sys

import numpy

from load_balance import Run, max_violation, mean_of

COLOURS = ("#1f6f8b", "#d1495b", "#6c9a3b", "#8661a8", "#e0932f", "#555555")


def read_group(text):
    """NAME=PATTERN as (name, runs)."""
    name, equals, pattern = text.partition("=")
    if not (name and equals and pattern):
        raise ValueError(f"'{text}' is not NAME=RUNS")
    paths = sorted(glob.glob(pattern))
    if not paths:
        raise ValueError(f"'{pattern}' matches no run")
    runs = [Run(path) for path in paths]
    for run in runs:
        if not numpy.array_equal(run.step, runs[0].step):
            raise ValueError(f"{run.name}: its rows are those of other steps than {runs[0].name}'s")
    return name, runs


def summary(name, runs, steps):
    losses = {run.name: run.last_validation() for run in runs}
    dense = all(run.loads is None for run in runs)
    balance = {} if dense else mean_of([run.balance(steps) for run in runs])
    return {
        "method": name,
        "validation_loss": float(numpy.mean(list(losses.values()))),
        "validation_losses": losses,
        **{figure: balance.get(figure) for figure in ("max_violation_each_step", "max_violation_summed")},
    }


def print_table(rows):
    width = max(len(row["method"]) for row in rows)
    print(f"{'method':<{width}}  {'validation':>10}  {'each step':>9}  {'summed':>7}  runs")
    for row in rows:
        losses = " ".join(f"{loss:.4f}" for loss in row["validation_losses"].values())
        each, summed = ("-" if value is None else f"{value:.3f}"
                        for value in (row["max_violation_each_step"], row["max_violation_summed"]))
        print(f"{row['method']:<{width}}  {row['validation_loss']:>10.4f}  {each:>9}  {summed:>7}  {losses}")


def smoothed(values, window):
    """Mean over `window` neighbouring rows; fewer at the ends."""
    kernel = numpy.ones(window)
    return numpy.convolve(values, kernel, "same") / numpy.convolve(numpy.ones(len(values)), kernel, "same")


def draw_band(axis, steps, curves, colour, label, **style):
    curves = numpy.array(curves)
    axis.plot(steps, curves.mean(axis=0), color=colour, label=label, linewidth=1.6, **style)
    if len(curves) > 1:
        axis.fill_between(steps, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.18, linewidth=0)


def plot(groups, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (loss, balance) = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for (name, runs), colour in zip(groups, COLOURS * len(groups)):
        measured = ~numpy.isnan(runs[0].validation)
        steps = runs[0].step
        draw_band(loss, steps[measured], [run.validation[measured] for run in runs], colour, name, marker=".")
        if any(run.loads is None for run in runs):
            continue
        window = max(1, len(steps) // 100)
        violations = [smoothed(max_violation(run.loads).mean(axis=1), window) for run in runs]
        draw_band(balance, steps, violations, colour, name)
    loss.set(xlabel="step", ylabel="validation loss, nats a token")
    balance.set(xlabel="step", ylabel="MaxVio of a step, mean of MoE layers")
    balance.set_ylim(bottom=0)
    for axis in (loss, balance):
        axis.grid(color="#dddddd", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    loss.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="+", metavar="NAME=RUNS")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="the last N steps (100)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", metavar="FILE", help="draw the curves into FILE (.png, .svg, ...)")
    options = parser.parse_args()
    if options.steps < 1:
        parser.error("--steps is at least 1")
    try:
        groups = [read_group(text) for text in options.groups]
        rows = [summary(name, runs, options.steps) for name, runs in groups]
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"compare_seeds.py: {error}")
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)
    if options.plot:
        plot(groups, options.plot)


if __name__ == "__main__":
    main()
