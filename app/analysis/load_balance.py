#!/usr/bin/env python3
"""How evenly the experts of runs were loaded, and at what loss.

    load_balance.py RUN... [--steps N] [--json] [-o FILE]

Printed for each run, and as the mean of all:

  validation      the last validation loss, nats a token
  each step       MaxVio of each step's global loads, averaged over MoE layers and the last N steps
  summed          MaxVio of the loads summed over these steps, averaged over MoE layers
  worst layer     the highest MaxVio of the summed loads of a layer

MaxVio = max over experts of (load - mean) / mean (Wang et al., arXiv 2408.15664, equation 4): 0 is an even
load, E / K - 1 is everything on the same K of E experts. Every one of the last N steps must have a row: train
with output.log_every=1. MTP modules have experts of their own and are left out.

-o draws the load of each expert over the steps, a row of panels for each run.
"""
import argparse
import json
import sys

import numpy

from moray_figure import load_pyplot, save
from moray_files import Metrics

SCRIPT = "load_balance.py"
FIGURES = ("validation_loss", "max_violation_each_step", "max_violation_summed", "max_violation_summed_worst_layer")


def max_violation(loads):
    """MaxVio of loads (..., experts), over the last axis."""
    mean = loads.mean(axis=-1)
    return (loads.max(axis=-1) - mean) / mean


def loads_of(run):
    """Loads of the model's own experts, (rows, layers, experts)."""
    if not run.trunk_layers():
        raise ValueError(f"{run.path}: no loads: the model has no experts")
    return run["loads"][:, : run.trunk_layers()].astype(float)


def last_validation(run):
    """The loss of the last row that has one; NaN without."""
    _, losses = run.measured("validation_loss")
    return float(losses[-1]) if len(losses) else float("nan")


def balance(run, steps):
    """The figures of a run's last `steps` steps."""
    last = run["step"][-1]
    rows = run["step"] > last - steps
    if last < steps or rows.sum() != steps:
        raise ValueError(
            f"{run.path}: {rows.sum()} rows for the last {steps} of {last} steps; train with output.log_every=1, or ask "
            "for fewer --steps"
        )
    loads = loads_of(run)[rows]
    summed = max_violation(loads.sum(axis=0))  # (layers,)
    return {
        "run": run.name,
        "step": int(last),
        "validation_loss": last_validation(run),
        "max_violation_each_step": float(max_violation(loads).mean()),
        "max_violation_summed": float(summed.mean()),
        "max_violation_summed_worst_layer": float(summed.max()),
    }


def mean_of(rows):
    """The mean over runs, as one more row."""
    return {"run": "mean", "step": None, **{name: float(numpy.mean([row[name] for row in rows])) for name in FIGURES}}


def print_table(rows):
    width = max(4, *(len(row["run"]) for row in rows))
    print(f"{'run':<{width}} {'step':>8} {'validation':>11} {'each step':>10} {'summed':>8} {'worst layer':>12}")
    for row in rows:
        step = "" if row["step"] is None else row["step"]
        loss, each, summed, worst = (row[name] for name in FIGURES)
        print(f"{row['run']:<{width}} {step:>8} {loss:>11.4f} {each:>10.3f} {summed:>8.3f} {worst:>12.3f}")


def draw_layer(axis, steps, load):
    """One panel: load (rows, experts) relative to the mean; white is even, red above, blue below."""
    relative = load / load.mean(axis=1, keepdims=True)
    cells = [part.mean(axis=0) for part in numpy.array_split(relative, min(200, len(relative)))]
    extent = (0, steps[-1], load.shape[1] - 0.5, -0.5)
    axis.grid(False)
    return axis.imshow(numpy.transpose(cells), aspect="auto", cmap="RdBu_r", vmin=0, vmax=2, extent=extent,
                       interpolation="nearest")


def draw(runs):
    pyplot = load_pyplot(SCRIPT)
    layers = max(run.trunk_layers() for run in runs)
    size = (3.1 * layers + 1, 1.4 * len(runs) + 0.7)
    figure, axes = pyplot.subplots(len(runs), layers, figsize=size, sharex="col", squeeze=False, layout="constrained")
    for row, run in zip(axes, runs):
        loads = loads_of(run)
        for layer, axis in enumerate(row):
            if layer < loads.shape[1]:
                image = draw_layer(axis, run["step"], loads[:, layer])
            else:
                axis.set_axis_off()
        row[0].set_ylabel(f"{run.name}\nexpert")
    for layer in range(layers):
        axes[0][layer].set_title(f"MoE layer {layer + 1}")
        axes[-1][layer].set_xlabel("step")
    figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01, extend="max").set_label("load / mean load")
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="runs' folders, or metrics files")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="the last N steps (100)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("-o", "--output", metavar="FILE", help="draw into FILE (.png, .svg, .pdf)")
    options = parser.parse_args()
    if options.steps < 1:
        parser.error("--steps is at least 1")
    try:
        runs = [Metrics(path) for path in options.runs]
        rows = [balance(run, options.steps) for run in runs]
        figure = draw(runs) if options.output else None
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"{SCRIPT}: {error}")
    if len(rows) > 1:
        rows.append(mean_of(rows))
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)
    if figure:
        save(figure, options.output, SCRIPT)


if __name__ == "__main__":
    main()
