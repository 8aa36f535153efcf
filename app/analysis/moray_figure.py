"""How the pictures of these scripts look: one palette, thin grids, no frames. Needs matplotlib."""
import os
import sys

import numpy

COLOURS = ("#1f6f8b", "#d1495b", "#6c9a3b", "#8661a8", "#e0932f", "#555555", "#3aa6a0", "#b5651d")
PAPER, INK, GRID = "#ffffff", "#222222", "#dddddd"


def load_pyplot(script):
    """matplotlib.pyplot for files (no window), or an end with the remedy."""
    try:
        import matplotlib
    except ImportError:
        sys.exit(f"{script}: matplotlib is not installed. Debian: python3-matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({
        "figure.facecolor": PAPER, "axes.facecolor": PAPER, "text.color": INK, "axes.labelcolor": INK,
        "axes.edgecolor": "#888888", "xtick.color": INK, "ytick.color": INK, "font.size": 9, "axes.titlesize": 10,
        "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.grid": True, "grid.color": GRID,
        "grid.linewidth": 0.6, "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False,
        "legend.frameon": False, "legend.fontsize": 8, "lines.linewidth": 1.5, "savefig.dpi": 130,
    })
    return pyplot


def colour(index):
    return COLOURS[index % len(COLOURS)]


def smoothed(values, window):
    """Mean over `window` neighbouring rows, fewer at the ends; values that are not finite are left out."""
    values = numpy.asarray(values, float)
    finite = numpy.isfinite(values)
    kernel = numpy.ones(max(1, window))
    sums = numpy.convolve(numpy.where(finite, values, 0), kernel, "full")
    counts = numpy.convolve(finite.astype(float), kernel, "full")
    first = (len(kernel) - 1) // 2
    part = slice(first, first + len(values))
    with numpy.errstate(invalid="ignore", divide="ignore"):
        return sums[part] / counts[part]


def window_of(rows, asked=None):
    """Rows to smooth over: as asked, else a fiftieth of all."""
    return max(1, asked if asked is not None else rows // 50)


def draw_curve(axis, steps, values, shade, window, label=None):
    """The values, faint, and their smoothed curve over them."""
    if window > 1:
        axis.plot(steps, values, color=shade, linewidth=0.7, alpha=0.3)
    axis.plot(steps, smoothed(values, window), color=shade, label=label)


def zoom_to(axis, values, share=0.02):
    """Leaves out the highest few values of a curve that falls, so that its end can be read."""
    finite = numpy.asarray(values, float)
    finite = finite[numpy.isfinite(finite)]
    if finite.size > 20:
        low, high = finite.min(), numpy.quantile(finite, 1 - share)
        axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def save(figure, path, script):
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        sys.exit(f"{script}: {error}")
    print(f"wrote {os.path.relpath(path) if not os.path.isabs(path) else path}")
