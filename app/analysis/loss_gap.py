#!/usr/bin/env python3
"""What a change of arithmetic costs: the relative gap of runs' training losses to those of the first.

    loss_gap.py REFERENCE RUN... [--decay D] [--from STEP] [-o FILE] [--json]

Losses are smoothed as s = D s + (1 - D) loss, s = loss in the first logged step, and the gap is (run - reference) /
reference of the smoothed losses in the steps that both logged. The table has its mean and range from --from on, by
default over the last half of the reference, and the difference of the last validation losses. -o draws losses and
gaps. All runs should have one seed, one set of data and output.log_every 1. NAME=RUN names a run in table and picture.
"""
import argparse
import json
import os
import sys

import numpy

from moray_figure import colour, load_pyplot, save, zoom_to
from moray_files import Metrics

SCRIPT = "loss_gap.py"


def exponential_mean(values, decay):
    out = numpy.array(values, float)
    for i in range(1, len(out)):
        out[i] = decay * out[i - 1] + (1 - decay) * out[i]
    return out


def open_run(argument):
    """A run's metrics and its name: NAME=RUN, or the folder's own name."""
    name, separator, path = argument.partition("=")
    if not separator or os.path.exists(argument):
        name, path = None, argument
    run = Metrics(path)
    return name or run.name, run


def gap_to(run, reference, decay):
    """(steps, relative gap) in the steps that both logged."""
    steps, ours, theirs = numpy.intersect1d(run["step"], reference["step"], return_indices=True)
    if not len(steps):
        raise ValueError(f"{run.name} and {reference.name} have no step in common")
    smooth, base = exponential_mean(run["loss"], decay)[ours], exponential_mean(reference["loss"], decay)[theirs]
    return steps, (smooth - base) / base


def summary(name, run, reference, decay, start):
    steps, gap = gap_to(run, reference, decay)
    seen = gap[steps > start]
    _, validation = run.measured("validation_loss")
    _, base = reference.measured("validation_loss")
    comparable = len(validation) and len(base) and run["step"][-1] == reference["step"][-1]
    return {
        "run": name,
        "step": int(steps[-1]),
        "mean_gap": float(seen.mean()) if len(seen) else None,
        "lowest_gap": float(seen.min()) if len(seen) else None,
        "highest_gap": float(seen.max()) if len(seen) else None,
        "validation_loss": float(validation[-1]) if len(validation) else None,
        "validation_gap": float((validation[-1] - base[-1]) / base[-1]) if comparable else None,
    }


def print_table(rows, start):
    width = max(3, *(len(row["run"]) for row in rows))
    print(f"gaps of smoothed training losses after step {start}, in percent of the first run's")
    print(f"{'run':<{width}}  {'step':>6} {'mean':>8} {'lowest':>8} {'highest':>8}  {'validation':>10} {'gap':>8}")

    def percent(value):
        return "" if value is None else f"{100 * value:+.3f}"

    for row in rows:
        validation = "" if row["validation_loss"] is None else f"{row['validation_loss']:.4f}"
        print(f"{row['run']:<{width}}  {row['step']:>6} {percent(row['mean_gap']):>8} {percent(row['lowest_gap']):>8} "
              f"{percent(row['highest_gap']):>8}  {validation:>10} {percent(row['validation_gap']):>8}")


def draw(runs, decay, start):
    pyplot = load_pyplot(SCRIPT)
    figure, (loss, gap) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    reference = runs[0][1]
    for index, (name, run) in enumerate(runs):
        loss.plot(run["step"], exponential_mean(run["loss"], decay), color=colour(index), label=name)
        steps, relative = gap_to(run, reference, decay)
        gap.plot(steps, 100 * relative, color=colour(index))
    zoom_to(loss, numpy.concatenate([run["loss"] for _, run in runs]), share=0.05)
    gaps = numpy.concatenate([100 * gap_to(run, reference, decay)[1][-len(run) * 3 // 4:] for _, run in runs])
    room = 0.1 * max(numpy.ptp(gaps), 0.1)
    gap.set_ylim(gaps.min() - room, gaps.max() + room)
    gap.axvline(start, color="#888888", linewidth=0.8, linestyle=":")
    loss.set(title=f"Training loss, smoothed ({decay:g})", xlabel="step", ylabel="nats a token")
    gap.set(title=f"Gap to {runs[0][0]}, percent", xlabel="step")
    loss.legend()
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="runs' folders, or metrics files; the first is the reference")
    parser.add_argument("--decay", type=float, default=0.9, help="of the smoothing (0.9)")
    parser.add_argument("--from", dest="start", type=int, metavar="STEP", help="count later steps; half of the reference")
    parser.add_argument("-o", "--output", metavar="FILE", help="draw into FILE (.png, .svg, .pdf)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if len(options.runs) < 2:
        parser.error("a reference and another run are compared")
    if not 0 <= options.decay < 1:
        parser.error("--decay is at least 0 and less than 1")
    try:
        runs = [open_run(argument) for argument in options.runs]
        reference = runs[0][1]
        start = options.start if options.start is not None else int(reference["step"][-1]) // 2
        rows = [summary(name, run, reference, options.decay, start) for name, run in runs[1:]]
        figure = draw(runs, options.decay, start) if options.output else None
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"{SCRIPT}: {error}")
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows, start)
    if figure:
        save(figure, options.output, SCRIPT)


if __name__ == "__main__":
    main()
