#!/usr/bin/env python3
"""How evenly the experts of finished runs were loaded, and at what loss.

    load_balance.py RUN... [--steps N] [--json] [--plot FILE]

RUN is a run's folder (its metrics.h5 is read) or a metrics file. Printed for each, and as the mean of all:

  validation      the last validation loss, nats a token
  each step       MaxVio of each step's global loads, averaged over MoE layers and the last N steps
  summed          MaxVio of the loads summed over these steps, averaged over MoE layers
  worst layer     the layer with the highest MaxVio of the summed loads

MaxVio = max over experts of (load - mean) / mean (Wang et al., arXiv 2408.15664, equation 4): 0 is an even
load, E / K - 1 is everything on the same K of E experts. Every one of the last N steps must have a row: train
with output.log_every=1. MTP modules have experts of their own and are left out.

--plot draws the load of each expert over the steps, a row of panels for each run (needs matplotlib).
"""
import argparse
import json
import os
import sys

import h5py
import numpy


def max_violation(loads):
    """MaxVio of loads (..., experts), over the last axis."""
    mean = loads.mean(axis=-1)
    return (loads.max(axis=-1) - mean) / mean


class Run:
    """What the metrics of one run say about balance; `loads` is None where the model has no experts."""

    def __init__(self, path):
        self.name = os.path.basename(os.path.normpath(path))
        file_path = os.path.join(path, "metrics.h5") if os.path.isdir(path) else path
        with h5py.File(file_path, "r") as file:
            modules = file["mtp_loss"].shape[1] if "mtp_loss" in file else 0
            self.step = file["step"][()]
            self.validation = file["validation_loss"][()]
            loads = file["loads"][()] if "loads" in file else None  # (rows, layers, experts), MTP modules last
        self.loads = None if loads is None else loads[:, : loads.shape[1] - modules].astype(float)

    def last_validation(self):
        """The loss of the last row that has one; NaN without."""
        measured = self.validation[~numpy.isnan(self.validation)]
        return float(measured[-1]) if measured.size else float("nan")

    def last_loads(self, steps):
        """Loads of the last `steps` steps, (steps, layers, experts)."""
        if self.loads is None:
            raise ValueError(f"{self.name}: no loads: the model has no experts")
        last = self.step[-1]
        rows = self.step > last - steps
        if last < steps or rows.sum() != steps:
            raise ValueError(
                f"{self.name}: {rows.sum()} rows for the last {steps} of {last} steps; train with output.log_every=1, or "
                "ask for fewer --steps"
            )
        return self.loads[rows]

    def balance(self, steps):
        loads = self.last_loads(steps)
        summed = max_violation(loads.sum(axis=0))  # (layers,)
        return {
            "run": self.name,
            "step": int(self.step[-1]),
            "validation_loss": self.last_validation(),
            "max_violation_each_step": float(max_violation(loads).mean()),
            "max_violation_summed": float(summed.mean()),
            "max_violation_summed_worst_layer": float(summed.max()),
        }


FIGURES = ("validation_loss", "max_violation_each_step", "max_violation_summed", "max_violation_summed_worst_layer")


def mean_of(rows):
    """The mean over runs, as one more row."""
    return {"run": "mean", "step": None, **{name: float(numpy.mean([row[name] for row in rows])) for name in FIGURES}}


def print_table(rows):
    print(f"{'run':<28} {'step':>7} {'validation':>11} {'each step':>10} {'summed':>8} {'worst layer':>12}")
    for row in rows:
        step = "" if row["step"] is None else row["step"]
        loss, each, summed, worst = (row[name] for name in FIGURES)
        print(f"{row['run']:<28} {step:>7} {loss:>11.4f} {each:>10.3f} {summed:>8.3f} {worst:>12.3f}")


def smoothed(load, cells):
    """Loads (rows, experts) as at most `cells` means over neighbouring rows."""
    return numpy.array([part.mean(axis=0) for part in numpy.array_split(load, min(cells, len(load)))])


def plot(runs, path):
    """Load of each expert relative to the mean: white is even, red above, blue below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    layers = max(run.loads.shape[1] for run in runs)
    figure, axes = pyplot.subplots(
        len(runs), layers, figsize=(3.1 * layers + 1, 1.5 * len(runs) + 0.8), sharex="col", squeeze=False,
        layout="constrained",
    )
    for row, run in zip(axes, runs):
        for layer, axis in enumerate(row):
            if layer >= run.loads.shape[1]:
                axis.set_axis_off()
                continue
            load = run.loads[:, layer]
            relative = smoothed(load / load.mean(axis=1, keepdims=True), 200)
            extent = (0, run.step[-1], load.shape[1] - 0.5, -0.5)
            image = axis.imshow(relative.T, aspect="auto", cmap="RdBu_r", vmin=0, vmax=2, extent=extent,
                                interpolation="nearest")
            if run is runs[0]:
                axis.set_title(f"MoE layer {layer + 1}", fontsize=9)
            if run is runs[-1]:
                axis.set_xlabel("step", fontsize=8)
            axis.tick_params(labelsize=7)
        row[0].set_ylabel(f"{run.name}\nexpert", fontsize=8)
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01, extend="max")
    bar.set_label("load / mean load", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="the last N steps (100)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", metavar="FILE", help="draw the loads into FILE (.png, .svg, ...)")
    options = parser.parse_args()
    if options.steps < 1:
        parser.error("--steps is at least 1")
    try:
        runs = [Run(path) for path in options.runs]
        rows = [run.balance(options.steps) for run in runs]
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"load_balance.py: {error}")
    if len(rows) > 1:
        rows.append(mean_of(rows))
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)
    if options.plot:
        plot(runs, options.plot)


if __name__ == "__main__":
    main()
