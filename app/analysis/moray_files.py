"""Reads what Moray writes: the metrics of a run, also while it is running, and checkpoints. For the scripts beside it,
and for scripts of your own:

    from moray_files import Checkpoint, Metrics
    metrics = Metrics("runs/mine")
    print(metrics["step"], metrics["loss"], metrics.units["loss"])
    print(Checkpoint("runs/mine").read("model/norm/weight"))

Needs numpy and h5py. Digests are not checked here: `moray inspect` does that. docs/checkpoint-format.md describes the
files.
"""
import json
import os
import re
import struct

import h5py
import numpy

MISSING = -(2**63)  # in an int64 column; NaN in a float64 one


def text_of(attribute):
    """Strings have a fixed length in the files: h5py gives their bytes."""
    return attribute.decode("utf-8") if isinstance(attribute, bytes) else str(attribute)


def name_of(path):
    """What to call a run in tables and pictures."""
    return os.path.basename(os.path.normpath(path))


class Metrics:
    """The rows of a run by column: metrics["loss"] is an array (rows, ...). `path` is a run's folder or a metrics file."""

    def __init__(self, path):
        self.path = path
        self.name = name_of(path)
        self.columns = {}
        self.units = {}
        parts = list(self._parts())
        if not parts:
            raise ValueError(f"{path}: holds no metrics (neither metrics/ nor metrics.h5)")
        for columns in parts:
            self._append(columns)
        if len(self) == 0:
            raise ValueError(f"{path}: has no rows yet")

    def __len__(self):
        return len(self.columns.get("step", ()))

    def __contains__(self, column):
        return column in self.columns

    def __getitem__(self, column):
        if column not in self.columns:
            raise ValueError(f"{self.path}: there is no column '{column}'; there are {', '.join(self.columns)}")
        return self.columns[column]

    def trunk_layers(self):
        """MoE layers of the model itself; those of modules of multi-token prediction come behind them."""
        modules = self["mtp_loss"].shape[1] if "mtp_loss" in self else 0
        return self["loads"].shape[1] - modules if "loads" in self else 0

    def measured(self, column):
        """(steps, values) of the rows in which a column has a value."""
        values = self[column]
        rows = ~numpy.isnan(values)
        return self["step"][rows], values[rows]

    def _parts(self):
        """Columns of each file of the run, the oldest first."""
        folder = os.path.join(self.path, "metrics")
        if os.path.isdir(folder):
            for name in sorted(os.listdir(folder)):
                if re.fullmatch(r"\d+\.h5", name):
                    yield self._read_file(os.path.join(folder, name))
            rows = os.path.join(folder, "current.rows")
            if os.path.exists(rows):
                yield self._read_rows(rows)
            return
        file = os.path.join(self.path, "metrics.h5") if os.path.isdir(self.path) else self.path
        if os.path.isdir(self.path) and not os.path.exists(file):
            return
        yield self._read_file(file)

    def _read_file(self, path):
        with h5py.File(path, "r") as file:
            for name in file:
                self.units[name] = text_of(file[name].attrs.get("unit", "1"))
            return {name: file[name][()] for name in file}

    def _read_rows(self, path):
        """Frames of a length, a digest and a payload: the columns as JSON, then 8 bytes a value of each row."""
        with open(path, "rb") as file:
            data = file.read()
        at = len(b"MORAYROW1\n")
        frames = []
        while at + 20 <= len(data):
            (length,) = struct.unpack_from("<I", data, at)
            frame = data[at + 20 : at + 20 + length]
            if len(frame) < length:
                break  # the row that is being written
            frames.append(frame)
            at += 20 + length
        if not frames:
            return {}
        rows = numpy.array([numpy.frombuffer(frame, "<i8") for frame in frames[1:]])
        columns = {}
        word = 0
        for column in json.loads(frames[0])["columns"]:
            shape, name = column["shape"], column["name"]
            words = int(numpy.prod(shape, dtype=int))
            values = rows[:, word : word + words] if len(rows) else numpy.zeros((0, words), "<i8")
            values = numpy.ascontiguousarray(values).view("<f8" if column["dtype"] == "float64" else "<i8")
            columns[name] = values.reshape(-1, *shape)
            self.units[name] = column["unit"]
            word += words
        return columns

    def _append(self, columns):
        """Adds the rows that are newer than all so far."""
        if not columns or len(columns["step"]) == 0:
            return
        new = columns["step"] > (self.columns["step"][-1] if len(self) else -1)
        before = len(self)
        for name in {**self.columns, **columns}:
            have, more = self.columns.get(name), columns.get(name)
            if have is None:
                have = self._missing(more, before)
            if more is None:
                more = self._missing(have, len(new))
            self.columns[name] = numpy.concatenate([have, more[new]])

    @staticmethod
    def _missing(like, rows):
        return numpy.full((rows, *like.shape[1:]), MISSING if like.dtype.kind == "i" else numpy.nan, like.dtype)


class Checkpoint:
    """A checkpoint's folder, or the newest one of a run. bf16 is widened to float32, which changes no value."""

    def __init__(self, path):
        self.folder = self._resolve(path)
        with open(os.path.join(self.folder, "manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        if manifest["format"] != "moray-checkpoint" or manifest["version_major"] != 1:
            raise ValueError(f"{self.folder}: not a checkpoint of version 1")
        self.step = manifest["step"]
        self.attributes = manifest["attributes"]
        self.names = [entry["name"] for entry in manifest["datasets"]]
        self.file = h5py.File(os.path.join(self.folder, "checkpoint.h5"), "r")

    def __contains__(self, name):
        return name in self.file

    def attribute(self, name, attribute):
        """`axes` or `dtype` of a tensor."""
        return text_of(self.file[name].attrs[attribute])

    def shape(self, name):
        return self.file[name].shape

    def read(self, name):
        if name not in self.file:
            raise ValueError(f"{self.folder}: there is no tensor '{name}'")
        return self.file[name][()]

    @staticmethod
    def _resolve(path):
        """As `moray` does: the checkpoint itself, or the newest in it or in its folder `checkpoints`."""
        if os.path.exists(os.path.join(path, "manifest.json")):
            return path
        for folder in (os.path.join(path, "checkpoints"), path):
            steps = [name for name in os.listdir(folder) if re.fullmatch(r"step_\d+", name)] if os.path.isdir(folder) else []
            if steps:
                return os.path.join(folder, max(steps, key=lambda name: int(name[5:])))
        raise ValueError(f"{path}: neither a checkpoint nor a run that has one")
