"""Checks of the source tree: python3 tree.py includes|files|format ROOT

includes  dependencies between folders point one way (docs/design.md, layout)
files     no file above 500 kB; text has LF line ends and ends with one
format    clang-format 14 would change nothing
"""
import collections
import os
import re
import shutil
import subprocess
import sys

LARGEST = 500_000  # bytes
BINARY = (".h5", ".png", ".npz", ".bin", ".ref")
CODE = (".cpp", ".hpp", ".cu", ".cuh")

# A folder may include folders of its own level or a lower one, and itself; within a level there
# must be no cycle of folders. The folders of MODEL are one model: its parts share linear maps and
# blocks, so there the cycles that must not be are those of files. Kernels see the core alone.
LEVELS = [
    ["core"],
    ["kernels", "config", "comm"],
    ["io", "data", "quantization"],
    ["attention", "moe", "mtp", "model"],
    ["pipeline", "optimizer"],
    ["training", "inference", "planning", "inspection"],
    ["app"],
]
MODEL = ("attention", "moe", "mtp", "model")
LEVEL = {folder: level for level, folders in enumerate(LEVELS) for folder in folders}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def tracked_files(root):
    """Paths of the repository's files relative to root: git's list, or without git the folder's."""
    command = ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):
        listed = []
        for folder, folders, names in os.walk(root):
            folders[:] = [f for f in folders if not re.match(r"build|runs$|\.git$|\.moray$|__pycache__$", f)]
            listed += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return sorted(path for path in listed if path and os.path.isfile(os.path.join(root, path)))


def folder_of(path):
    """The folder of LEVELS that a file or an include belongs to, or None."""
    parts = path.split("/")
    if parts[0] == "modules":
        parts = parts[1:]
    return parts[0] if len(parts) > 1 and parts[0] in LEVEL else None


def check_includes(root):
    problems = []
    edges = collections.defaultdict(dict)  # folder -> included folder of the same level -> place; also files of MODEL
    for path in tracked_files(root):
        own = folder_of(path)
        if own is None or not path.endswith(CODE) or path.split("/")[0] not in ("modules", "kernels", "app"):
            continue
        for number, line in enumerate(open(os.path.join(root, path), encoding="utf-8"), 1):
            match = INCLUDE.match(line)
            other = folder_of(match.group(1)) if match else None
            if own in MODEL and other in MODEL:
                edges[path.removeprefix("modules/")].setdefault(match.group(1), f"{path}:{number}")
                continue
            if other is None or other == own:
                continue
            place = f"{path}:{number}"
            if own == "kernels" and other != "core":
                problems.append(f"{place}: kernels see the core alone, not '{other}'")
            elif LEVEL[other] > LEVEL[own]:
                problems.append(f"{place}: '{own}' must not include '{other}', which lies above it")
            elif LEVEL[other] == LEVEL[own]:
                edges[own].setdefault(other, place)
    for own in list(edges):
        for other, place in edges[own].items():
            if reaches(edges, other, own):
                problems.append(f"{place}: '{own}' and '{other}' include each other")
    return problems


def reaches(edges, start, goal):
    seen, todo = set(), [start]
    while todo:
        folder = todo.pop()
        if folder == goal:
            return True
        if folder not in seen:
            seen.add(folder)
            todo += edges.get(folder, {})
    return False


def check_files(root):
    problems = []
    for path in tracked_files(root):
        full = os.path.join(root, path)
        size = os.path.getsize(full)
        if size > LARGEST:
            problems.append(f"{path}: {size} bytes, more than {LARGEST}")
        if path.endswith(BINARY) or os.path.islink(full):
            continue
        content = open(full, "rb").read()
        if b"\r" in content:
            problems.append(f"{path}:{content[:content.index(13)].count(10) + 1}: carriage return; line ends are LF")
        if content and not content.endswith(b"\n"):
            problems.append(f"{path}: does not end with a line end")
    return problems


def check_format(root):
    program = next((name for name in ("clang-format-14", "clang-format") if shutil.which(name)), None)
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout if program else ""
    if "version 14." not in version:
        print("SKIPPED: clang-format 14 is not installed (other versions format differently)")
        sys.exit(77)
    paths = [path for path in tracked_files(root) if path.endswith(CODE)]
    run = subprocess.run([program, "--dry-run", *paths], capture_output=True, text=True, cwd=root)
    places = [line for line in run.stderr.split("\n") if "-Wclang-format-violations" in line]
    return sorted({line.split(":")[0] + ": clang-format -i would change it" for line in places})


def main():
    check, root = sys.argv[1], os.path.abspath(sys.argv[2])
    problems = {"includes": check_includes, "files": check_files, "format": check_format}[check](root)
    print("\n".join(problems))
    print(f"{len(problems)} problem(s), {len(tracked_files(root))} files")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
