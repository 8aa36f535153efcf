#!/usr/bin/env python3
"""Shows the tensors of a checkpoint as numpy arrays see them: a table, the values of one, or a picture.

    inspect_checkpoint.py CHECKPOINT [--all] [--match REGEX] [--json]
    inspect_checkpoint.py CHECKPOINT --tensor NAME
    inspect_checkpoint.py CHECKPOINT -o FILE

CHECKPOINT is a checkpoint's folder, or a run: its newest one. Norms, extremes and values are those of `moray inspect`
(which also checks digests; this script does not). bf16 is widened to float32, which changes no value; FP8 payloads
are bytes. The picture shows the root mean square of each kind of tensor over the layers and, for a mixture of
experts, that of each expert, with the selection bias below it.
"""
import argparse
import json
import re
import sys

import numpy

from moray_figure import colour, load_pyplot, save
from moray_files import Checkpoint

SCRIPT = "inspect_checkpoint.py"
OF_OPTIMIZER = ("optimizer/", "ema/")


def describe(checkpoint, name):
    values = checkpoint.read(name)
    wide = values.astype("f8").ravel()
    finite = wide[numpy.isfinite(wide)]
    return {
        "name": name,
        "shape": list(values.shape),
        "axes": checkpoint.attribute(name, "axes"),
        "dtype": checkpoint.attribute(name, "dtype"),
        "norm": float(numpy.sqrt(numpy.dot(finite, finite))),
        "min": float(finite.min()) if finite.size else 0.0,
        "max": float(finite.max()) if finite.size else 0.0,
        "not_finite": int(wide.size - finite.size),
        "first": [float(value) if numpy.isfinite(value) else None for value in wide[:4]],
    }


def chosen(checkpoint, options):
    pattern = re.compile(options.match or "")
    return [name for name in checkpoint.names
            if pattern.search(name) and (options.all or not name.startswith(OF_OPTIMIZER))]


def print_table(checkpoint, rows):
    print(f"{checkpoint.folder}: step {checkpoint.step}, {checkpoint.attributes.get('tokens', '?')} tokens\n")
    width = max([6, *(len(row["name"]) for row in rows)])
    print(f"{'tensor':<{width}} {'shape':>16} {'dtype':<13} {'norm':>11} {'min':>11} {'max':>11}  axes")
    for row in rows:
        shape = " x ".join(map(str, row["shape"]))
        bad = f"  {row['not_finite']} NOT FINITE" if row["not_finite"] else ""
        print(f"{row['name']:<{width}} {shape:>16} {row['dtype']:<13} {row['norm']:>11.4e} {row['min']:>11.3e} "
              f"{row['max']:>11.3e}  {row['axes']}{bad}")


def root_mean_square(values, axis=None):
    wide = values.astype("f8")
    return numpy.sqrt((wide * wide).mean(axis=axis))


def by_kind(checkpoint):
    """{"self_attn/q_proj": {layer: rms}} of the weight matrices of all layers; experts as one."""
    kinds = {}
    for name in checkpoint.names:
        match = re.fullmatch(r"model/layers/(\d+)/(.+)/weight", name)
        if match and len(checkpoint.shape(name)) > 1:
            kinds.setdefault(match[2], {})[int(match[1])] = root_mean_square(checkpoint.read(name))
    return kinds


def moe_layers(checkpoint):
    """Numbers of the layers that have experts."""
    pattern = re.compile(r"model/layers/(\d+)/mlp/gate/loads")
    return sorted(int(match[1]) for match in map(pattern.fullmatch, checkpoint.names) if match)


def draw_kinds(axis, kinds):
    for index, (kind, layers) in enumerate(sorted(kinds.items())):
        style = "-" if index < 8 else "--"
        axis.plot(list(layers), list(layers.values()), style, color=colour(index), marker="o", markersize=3.5, label=kind)
    axis.set(title="Root mean square of each kind of matrix", xlabel="layer", ylim=(0, None))
    axis.xaxis.get_major_locator().set_params(integer=True)


def draw_experts(axis, checkpoint, layer):
    """Bars: each expert's matrices together. Points: its load. Both by the mean; dashes: its selection bias."""
    prefix = f"model/layers/{layer}/mlp/"
    squares = [root_mean_square(checkpoint.read(f"{prefix}experts/{part}/weight"), axis=(1, 2)) ** 2
               for part in ("gate_proj", "up_proj", "down_proj")]
    norms = numpy.sqrt(numpy.mean(squares, axis=0))
    experts = numpy.arange(len(norms))
    axis.bar(experts, norms / norms.mean(), color=colour(0), alpha=0.45, width=0.8, label="weights, rms / mean")
    loads = checkpoint.read(f"{prefix}gate/loads").astype(float)
    axis.plot(experts, loads / max(loads.mean(), 1e-300), "o", color=colour(1), markersize=4, label="load of the last step / mean")
    bias_name = f"{prefix}gate/e_score_correction_bias"
    if bias_name in checkpoint:
        axis.plot(experts, 1 + checkpoint.read(bias_name), "_", color=colour(2), markersize=9, markeredgewidth=2,
                  label="1 + selection bias")
    axis.axhline(1, color="#888888", linewidth=0.8)
    axis.set(title=f"Experts of layer {layer}", xlabel="expert", ylim=(0, None))
    axis.grid(axis="x", visible=False)


def draw_legend(cell, axis):
    """The legend of an axis in a cell of its own."""
    cell.set_axis_off()
    cell.legend(*axis.get_legend_handles_labels(), loc="upper left", borderaxespad=0)


def draw(checkpoint):
    pyplot = load_pyplot(SCRIPT)
    layers = moe_layers(checkpoint)
    columns = max(1, min(3, len(layers)))
    rows = 1 + -(-len(layers) // columns)
    figure = pyplot.figure(figsize=(max(6, 3.6 * columns) + 2.2, 3.6 + 2.8 * (rows - 1)), layout="constrained")
    grid = figure.add_gridspec(rows, columns + 1, width_ratios=[max(6, 3.6 * columns) / columns] * columns + [2.2])
    kinds = figure.add_subplot(grid[0, :-1])
    draw_kinds(kinds, by_kind(checkpoint))
    draw_legend(figure.add_subplot(grid[0, -1]), kinds)
    for index, layer in enumerate(layers):
        experts = figure.add_subplot(grid[1 + index // columns, index % columns])
        draw_experts(experts, checkpoint, layer)
        if index == 0:
            draw_legend(figure.add_subplot(grid[1, -1]), experts)
    figure.suptitle(f"{checkpoint.folder}, step {checkpoint.step}", fontsize=11, x=0.01, ha="left")
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a checkpoint's folder, or a run")
    parser.add_argument("--all", action="store_true", help="the tensors of the optimizer too")
    parser.add_argument("--match", metavar="REGEX", help="only tensors whose name it matches somewhere")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--tensor", metavar="NAME", help="print the values of one tensor")
    parser.add_argument("-o", "--output", metavar="FILE", help="draw into FILE (.png, .svg, .pdf) instead of printing")
    options = parser.parse_args()
    try:
        checkpoint = Checkpoint(options.checkpoint)
        if options.tensor:
            print(checkpoint.read(options.tensor))
        elif options.output:
            save(draw(checkpoint), options.output, SCRIPT)
        else:
            rows = [describe(checkpoint, name) for name in chosen(checkpoint, options)]
            if options.json:
                print(json.dumps(rows, indent=2))
            else:
                print_table(checkpoint, rows)
    except (OSError, KeyError, ValueError, re.error) as error:
        sys.exit(f"{SCRIPT}: {error}")


if __name__ == "__main__":
    main()
