"""Others can read what Moray writes: h5py and h5dump find in a checkpoint and in the metrics of a run the names, shapes,
axes, dtypes and values that `moray inspect` prints, bf16 included. Usage: read_elsewhere_test.py MORAY REPOSITORY; 77
means skipped, with the reason printed."""

import json
import os
import shutil
import subprocess
import sys
import tempfile


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(77)


try:
    import h5py
    import numpy
except ImportError as missing:
    skip(f"{missing.name} is not installed for {sys.executable}")
H5DUMP = shutil.which("h5dump") or skip("h5dump is not installed")

MORAY, REPOSITORY = (os.path.abspath(path) for path in sys.argv[1:3])
# What HDF5 calls the types.
H5DUMP_TYPES = {
    "float32": "H5T_IEEE_F32LE",
    "float64": "H5T_IEEE_F64LE",
    "int64": "H5T_STD_I64LE",
    "bfloat16": "16-bit little-endian floating-point",
}


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def text_of(attribute):
    return attribute.decode("utf-8")


def names_of(file):
    names = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def check_with_h5py(file, tensors, texts):
    assert sorted(names_of(file)) == sorted([tensor["name"] for tensor in tensors] + texts)
    for tensor in tensors:
        dataset, name = file[tensor["name"]], tensor["name"]
        assert list(dataset.shape) == tensor["shape"], name
        assert text_of(dataset.attrs["axes"]) == tensor["axes"], name
        assert text_of(dataset.attrs["dtype"]) == tensor["dtype"], name
        values = dataset[...].astype("f8").ravel()
        assert values[:4].tolist() == tensor["first"], name
        assert values.min() == tensor["min"] and values.max() == tensor["max"], name
        norm = numpy.sqrt(numpy.dot(values, values))
        assert abs(norm - tensor["norm"]) <= 1e-12 * norm, (name, norm, tensor["norm"])


def check_bits_of_bf16(path, file, tensors):
    """The stored bytes are the upper halves of the float32 that h5py gives."""
    halves = [tensor["name"] for tensor in tensors if tensor["dtype"] == "bfloat16"]
    assert halves, "no bf16 tensor to look at"
    with open(path, "rb") as raw:
        for name in halves:
            dataset = file[name]
            raw.seek(dataset.id.get_offset())
            stored = numpy.frombuffer(raw.read(2 * dataset.size), "<u2")
            widened = numpy.ascontiguousarray(dataset[...], "<f4").ravel().view("<u4")
            assert numpy.array_equal(widened, stored.astype("<u4") << 16), name
            assert stored.any(), name


def values_of_h5dump(text):
    data = text[text.index("DATA {") + 6 :]
    return [float(word) for word in data[: data.index("}")].replace(",", " ").split()]


def check_with_h5dump(path, tensors):
    """Once a dtype and number of extents: type, extents, axes and first values."""
    seen = set()
    for tensor in tensors:
        if (tensor["dtype"], len(tensor["shape"])) in seen:
            continue
        seen.add((tensor["dtype"], len(tensor["shape"])))
        count = [1] * (len(tensor["shape"]) - 1) + [min(4, tensor["shape"][-1])]
        part = f"/{tensor['name']}[;;{','.join(map(str, count))};]"
        text = output(H5DUMP, "-y", "-m", "%.17g", "-d", part, path)
        assert H5DUMP_TYPES[tensor["dtype"]] in text, text
        extents = ", ".join(map(str, tensor["shape"]))
        assert f"SIMPLE {{ ( {extents} ) / ( {extents} ) }}" in text, text
        assert f'"{tensor["axes"]}"' in text and f'"{tensor["dtype"]}"' in text, text
        values = numpy.array(values_of_h5dump(text))
        assert numpy.allclose(values, tensor["first"][: count[-1]], rtol=1e-7, atol=0), (values, tensor)
    assert {kind for kind, _ in seen} >= {"float32", "bfloat16", "int64"}, seen


def check_metrics(path, run):
    """The last rows and the balance, as inspect prints them; the bias and the loads of the last step by h5dump."""
    with h5py.File(path, "r") as file:
        assert len(file["step"]) == run["logged_steps"]
        for row in run["rows"]:
            at = int(numpy.flatnonzero(file["step"][...] == row["step"])[0])
            for name, value in row.items():
                stored = file[name][at]
                assert numpy.isnan(stored) if value is None else stored == value, (name, stored, value)
        balance = run["balance"]
        steps = file["step"][...]
        window = (steps >= balance["first_step"]) & (steps <= balance["last_step"])
        loads = file["loads"][...][window].sum(axis=0)
        assert text_of(file["loads"].attrs["axes"]) == "row,layer,expert"
        assert text_of(file["loss"].attrs["unit"]) == "nat/token"
        for index, layer in enumerate(balance["layers"]):
            assert loads[index].tolist() == layer["loads"]
            assert file["bias"][-1, index].tolist() == layer["bias"]
            assert file["max_violation"][-1, index] == layer["max_violation"]
        last = len(steps) - 1
        text = output(H5DUMP, "-y", "-m", "%.17g", "-d", f"/bias[{last},0,0;;1,1,{loads.shape[1]};]", path)
        assert values_of_h5dump(text) == balance["layers"][0]["bias"]


with tempfile.TemporaryDirectory() as work:
    folder = os.path.join(work, "run")
    output(MORAY, "train", os.path.join(REPOSITORY, "input", "tiny.yaml"), "--out", folder, "run.length=6",
           "optimizer.moments=bf16", "output.log_every=1")
    inspected = json.loads(output(MORAY, "inspect", folder, "--all", "--json"))
    checkpoint = os.path.join(inspected["checkpoint"]["path"], "checkpoint.h5")
    with open(os.path.join(inspected["checkpoint"]["path"], "manifest.json"), encoding="utf-8") as manifest:
        text_datasets = json.load(manifest)["texts"]
    with h5py.File(checkpoint, "r") as opened:
        assert opened.attrs["step"] == inspected["checkpoint"]["step"] == 6
        check_with_h5py(opened, inspected["checkpoint"]["tensors"], text_datasets)
        check_bits_of_bf16(checkpoint, opened, inspected["checkpoint"]["tensors"])
    check_with_h5dump(checkpoint, inspected["checkpoint"]["tensors"])
    check_metrics(os.path.join(folder, "metrics.h5"), inspected["run"])
print("checkpoint and metrics read by h5py and h5dump as moray inspect prints them")
