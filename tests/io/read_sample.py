"""Others can read the files: h5py and h5dump find the names, shapes, axes, dtypes and values that
were written. Usage: read_sample.py WRITE_SAMPLE; 77 means skipped, with the reason printed."""

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
except ImportError as error:
    skip(f"{error.name} is not installed for {sys.executable}")

NUMPY_TYPES = {"float32": "<f4", "float64": "<f8", "uint8": "u1", "int64": "<i8"}


def expected_values(raw, entry):
    """The dataset's values as h5py should give them: bfloat16 widens to float32."""
    if entry["dtype"] == "bfloat16":
        bits = numpy.frombuffer(raw, "<u2").astype("<u4") << 16
        values = bits.view("<f4")
    else:
        values = numpy.frombuffer(raw, NUMPY_TYPES[entry["dtype"]])
    return values.reshape(entry["shape"])


def text_of(attribute):
    """Strings have a fixed length in the files: h5py gives their bytes."""
    return attribute.decode("utf-8")


def names_of(file):
    found = []

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found.append(name)

    file.visititems(visit)
    return sorted(found)


def check_checkpoint(run):
    folder = os.path.join(run, "checkpoints", "step_00000042")
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as text:
        manifest = json.load(text)
    assert manifest["step"] == 42 and manifest["attributes"]["tokens"] == 42000
    entries = {entry["name"]: entry for entry in manifest["datasets"]}
    with h5py.File(os.path.join(folder, "checkpoint.h5"), "r") as file:
        assert text_of(file.attrs["format"]) == "moray-checkpoint"
        assert text_of(file.attrs["formatVersion"]) == "1.0"
        assert file.attrs["step"] == 42 and file.attrs["loss"] == 1 / 3
        assert names_of(file) == sorted([*entries, *manifest["texts"]])
        assert file["build"][()].decode("utf-8") == "m\u00f6ray\n"
        for name, entry in entries.items():
            dataset = file[name]
            with open(os.path.join(run, "raw", name.replace("/", ".")), "rb") as raw:
                expected = expected_values(raw.read(), entry)
            assert list(dataset.shape) == entry["shape"], name
            assert text_of(dataset.attrs["axes"]) == entry["axes"], name
            assert dataset.attrs["parts"] == entry["parts"], name
            assert dataset.id.get_offset() == entry["offset"], name
            assert numpy.array_equal(dataset[...], expected), name
            if not name.endswith("_fp8"):
                assert text_of(dataset.attrs["dtype"]) == entry["dtype"], name
        fp8 = file["model/layers/1/mlp/experts/up_proj/weight_fp8"]
        assert text_of(fp8.attrs["dtype"]) == "float8_e4m3fn"
        assert text_of(file["optimizer/m/model/embed_tokens/weight"].attrs["unit"]) == "1"
        first = file["optimizer/m/model/norm/weight"][:3]
        plain = file["model/norm/weight"][:4]
    return os.path.join(folder, "checkpoint.h5"), first, plain


def h5dump(path, dataset, first):
    """The text of h5dump and the numbers that it prints for the first extents of a dataset."""
    program = shutil.which("h5dump")
    if program is None:
        skip("h5dump is not installed (h5py's half passed)")
    text = subprocess.run([program, "-y", "-m", "%.17g", "-d", f"/{dataset}[0;;{first};]", path],
                          check=True, capture_output=True, text=True).stdout
    data = text[text.index("DATA {") + 6:]  # attributes come after the values
    words = data[:data.index("}")].replace(",", " ").split()
    return text, numpy.array([float(word) for word in words])


def check_h5dump(run, path, bf16, plain):
    text, numbers = h5dump(path, "optimizer/m/model/norm/weight", "3")
    assert (numbers.astype("f4") == bf16).all(), (numbers, bf16)
    assert "16-bit little-endian floating-point" in text and 'ATTRIBUTE "axes"' in text, text
    _, numbers = h5dump(path, "model/norm/weight", "4")
    assert (numbers.astype("f4") == plain).all(), (numbers, plain)
    text, numbers = h5dump(os.path.join(run, "metrics.h5"), "loss", "10")
    assert (numbers == 1 / numpy.arange(1, 11)).all() and "nat/token" in text, text
    _, numbers = h5dump(os.path.join(run, "metrics.h5"), "loads", "2,2,3")
    assert list(numbers) == [1, 1, 2, 3, 4, -1, 2, 1, 2, 3, 4, -2], numbers


def check_metrics(run):
    for path, first, last in [("metrics.h5", 1, 10), ("metrics/0001.h5", 1, 4),
                              ("metrics/0002.h5", 5, 7)]:
        with h5py.File(os.path.join(run, path), "r") as file:
            steps = file["step"][:]
            assert text_of(file.attrs["format"]) == "moray-metrics", path
            assert list(steps) == list(range(first, last + 1)), path
            assert numpy.array_equal(file["loss"][:], 1 / steps), path
            assert text_of(file["loss"].attrs["unit"]) == "nat/token", path
            assert file["loads"].shape == (len(steps), 2, 3), path
            assert text_of(file["loads"].attrs["axes"]) == "row,layer,expert", path
            assert (file["loads"][:, 1, 2] == -steps).all() and file["loads"].dtype == "<i8", path
    with open(os.path.join(run, "metrics.csv"), encoding="utf-8") as text:
        lines = text.read().splitlines()
    assert lines[0].startswith("step,loss,loads[0][0],") and lines[4] == "4,0.25,4,1,2,3,4,-4"
    assert len(lines) == 11


with tempfile.TemporaryDirectory(prefix="moray-io-") as run_folder:
    subprocess.run([sys.argv[1], run_folder, "2"], check=True)
    check_metrics(run_folder)
    check_h5dump(run_folder, *check_checkpoint(run_folder))
print("checkpoint and metrics read by h5py and h5dump as written")
