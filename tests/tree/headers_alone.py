"""Every header compiles alone: python3 headers_alone.py ROOT compile_commands.json

A header that is the first include of a source file was compiled alone by the build; the others are
given to the build's own compiler (through ccache, where there is one) with its flags but -O0.
"""
import concurrent.futures
import json
import os
import shlex
import shutil
import subprocess
import sys

from tree import INCLUDE, tracked_files


def first_include(path):
    for line in open(path, encoding="utf-8"):
        match = INCLUDE.match(line)
        if match or line.lstrip().startswith("#include"):
            return match.group(1) if match else None
    return None


def proven_by_build(root, sources):
    """Headers, relative to root, that some source file includes before anything else."""
    proven = set()
    for source in sources:
        name = first_include(os.path.join(root, source))
        for folder in ("", "modules/", os.path.dirname(source) + "/"):
            if name and os.path.isfile(os.path.join(root, folder + name)):
                proven.add(folder + name)
    return proven


def compile_command(commands_file):
    """Compiler and flags of the library's own files, without input and output."""
    entries = json.load(open(commands_file, encoding="utf-8"))
    entry = next(e for e in entries if e["file"].endswith("modules/core/error.cpp"))
    words = shlex.split(entry["command"])
    drop = words.index("-o")
    words = [w for w in words[:drop] + words[drop + 2 :] if w not in ("-c", entry["file"])]
    return (["ccache"] if shutil.which("ccache") else []) + words + ["-O0", "-Werror"]


def compiles(folder, command, header):
    source = os.path.join(folder, header.replace("/", "-") + ".cpp")
    if not os.path.exists(source):
        with open(source, "w", encoding="utf-8") as file:
            file.write(f'#include "{header}"\n')
    run = subprocess.run([*command, "-c", source, "-o", source + ".o"], text=True, capture_output=True, cwd=folder)
    return "" if run.returncode == 0 else f"{header} does not compile alone:\n{run.stderr}"


def main():
    root, commands = os.path.abspath(sys.argv[1]), sys.argv[2]
    files = [f for f in tracked_files(root) if f.split("/")[0] in ("modules", "kernels", "app")]
    proven = proven_by_build(root, [f for f in files if f.endswith(".cpp")])
    headers = [f for f in files if f.endswith(".hpp")]
    # A header without '#pragma once' is a table or template that its sources include with macros set.
    rest = [h for h in headers if h not in proven and "#pragma once" in open(os.path.join(root, h)).read()]
    command = compile_command(commands)
    folder = os.path.join(os.path.dirname(os.path.abspath(commands)), "headers_alone")
    os.makedirs(folder, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = [p for p in pool.map(lambda h: compiles(folder, command, h), rest) if p]
    print("\n".join(problems))
    print(f"{len(headers)} headers: {len(headers) - len(rest)} proven by the build, {len(rest)} compiled, {len(problems)} failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
