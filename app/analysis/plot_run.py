#!/usr/bin/env python3
"""Draws a run: loss, learning rate, gradient norm, throughput and, for a mixture of experts, MaxVio, the load of
each expert and the selection biases.

    plot_run.py RUN [-o FILE] [--smooth N] [--from STEP]

RUN is a run's folder, also of a run that is still going on, or a metrics file. The picture goes to RUN/plot.png, or
to FILE, whose ending says the format (.png, .svg, .pdf). Faint curves are the logged steps, strong ones their mean
over N neighbouring rows.
"""
import argparse
import os
import sys

import numpy

from moray_figure import colour, draw_curve, load_pyplot, save, window_of, zoom_to
from moray_files import Metrics

SCRIPT = "plot_run.py"


def select(metrics, first):
    """The rows from a step on."""
    rows = metrics["step"] >= first
    if not rows.any():
        raise ValueError(f"{metrics.path}: has no row from step {first} on")
    metrics.columns = {name: values[rows] for name, values in metrics.columns.items()}
    return metrics


def draw_loss(axis, metrics, window):
    draw_curve(axis, metrics["step"], metrics["loss"], colour(0), window, "training")
    steps, losses = metrics.measured("validation_loss")
    if len(steps):
        axis.plot(steps, losses, color=colour(1), marker="o", markersize=3.5, label=f"validation, {losses[-1]:.4f} at the end")
    if "mtp_loss" in metrics:
        for module in range(metrics["mtp_loss"].shape[1]):
            draw_curve(axis, metrics["step"], metrics["mtp_loss"][:, module], colour(3 + module), window, f"MTP module {module + 1}")
    zoom_to(axis, metrics["loss"])
    axis.set(title="Loss", ylabel="nats a token")
    axis.legend()


def draw_norm(axis, metrics, window):
    draw_curve(axis, metrics["step"], metrics["gradient_norm"], colour(0), window)
    skipped = metrics["step"][metrics["skipped"] == 1]
    for step in skipped:
        axis.axvline(step, color=colour(1), linewidth=0.8)
    zoom_to(axis, metrics["gradient_norm"])
    axis.set(title="Gradient norm" + (f" (red: {len(skipped)} skipped steps)" if len(skipped) else ""))


def draw_throughput(axis, metrics, window):
    speed = metrics["tokens_per_second"]
    draw_curve(axis, metrics["step"], speed, colour(2), window)
    axis.set(title=f"Throughput, median {numpy.median(speed):,.0f}", ylabel="tokens a second", ylim=(0, None))


def draw_rate(axis, metrics):
    axis.plot(metrics["step"], metrics["learning_rate"], color=colour(4))
    axis.set(title="Learning rate", ylim=(0, None))
    axis.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))


def draw_violation(axis, metrics, layer, window):
    draw_curve(axis, metrics["step"], metrics["max_violation"][:, layer], colour(3), window)
    axis.set(title=f"MaxVio, MoE layer {layer + 1}", ylim=(0, None))


def draw_loads(pyplot, axis, metrics, layer):
    """Load of each expert relative to the mean: white is even, red above, blue below."""
    loads = metrics["loads"][:, layer].astype(float)
    relative = loads / numpy.maximum(loads.mean(axis=1, keepdims=True), 1e-300)
    cells = numpy.array([part.mean(axis=0) for part in numpy.array_split(relative, min(200, len(relative)))])
    steps = metrics["step"]
    image = axis.imshow(cells.T, aspect="auto", cmap="RdBu_r", vmin=0, vmax=2, interpolation="nearest",
                        extent=(steps[0], steps[-1] + 1, loads.shape[1] - 0.5, -0.5))
    axis.grid(False)
    axis.set(title=f"Load / mean, MoE layer {layer + 1}", ylabel="expert")
    pyplot.colorbar(image, cax=axis.inset_axes([1.02, 0, 0.025, 1]), extend="max")


def draw_bias(axis, metrics, layer):
    for expert in range(metrics["bias"].shape[2]):
        axis.plot(metrics["step"], metrics["bias"][:, layer, expert], color=colour(expert), linewidth=0.9)
    axis.set(title=f"Selection bias, MoE layer {layer + 1}")


def draw(metrics, window):
    pyplot = load_pyplot(SCRIPT)
    layers = metrics.trunk_layers()
    columns = 3 if layers else 2
    rows = 2 + layers
    figure, axes = pyplot.subplots(rows, columns, figsize=(4.6 * columns, 2.7 * rows), squeeze=False, layout="constrained")
    grid = axes[0, 0].get_gridspec()
    # The loss takes two columns; the small ones follow, then a row for each MoE layer.
    for axis in axes[0, :2]:
        axis.remove()
    draw_loss(figure.add_subplot(grid[0, :2]), metrics, window)
    draw_norm(axes[1, 0], metrics, window)
    draw_throughput(axes[1, 1], metrics, window)
    if layers:
        draw_rate(axes[0, 2], metrics)
        mean = metrics["max_violation"][:, :layers].mean(axis=1)
        draw_curve(axes[1, 2], metrics["step"], mean, colour(3), window)
        axes[1, 2].set(title="MaxVio, mean of MoE layers", ylim=(0, None))
    for layer in range(layers):
        draw_loads(pyplot, axes[2 + layer, 0], metrics, layer)
        if "bias" in metrics:
            draw_bias(axes[2 + layer, 1], metrics, layer)
        else:
            axes[2 + layer, 1].set_axis_off()
        draw_violation(axes[2 + layer, 2], metrics, layer, window)
    for axis in axes[-1]:
        axis.set_xlabel("step")
    figure.suptitle(f"{metrics.name}: {metrics['step'][-1]} steps, {metrics['tokens'][-1]:,} tokens", fontsize=12, x=0.01, ha="left")
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="a run's folder, or a metrics file")
    parser.add_argument("-o", "--output", metavar="FILE", help="the picture; RUN/plot.png if not given")
    parser.add_argument("--smooth", type=int, metavar="N", help="rows to average over; a fiftieth of all if not given")
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="STEP", help="leave out the steps before")
    options = parser.parse_args()
    try:
        metrics = select(Metrics(options.run), options.first)
        figure = draw(metrics, window_of(len(metrics), options.smooth))
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"{SCRIPT}: {error}")
    folder = options.run if os.path.isdir(options.run) else os.path.dirname(options.run)
    save(figure, options.output or os.path.join(folder, "plot.png"), SCRIPT)


if __name__ == "__main__":
    main()
