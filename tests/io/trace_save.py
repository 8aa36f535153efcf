"""The system calls of one save come in the order of the commit protocol. Usage:
trace_save.py WRITE_SAMPLE; 77 means skipped, with the reason printed."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

RANKS = 3
CALLS = "openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,mkdir,unlink"


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(77)


def trace(program, folder):
    """One (call, path, thread) per line; a rename has the target as its path."""
    log = os.path.join(folder, "trace")
    run = subprocess.run(["strace", "-f", "-y", "-o", log, "-e", f"trace={CALLS}", program,
                          os.path.join(folder, "run"), str(RANKS)], capture_output=True, text=True)
    if run.returncode != 0:
        if "ptrace" in run.stderr or "PTRACE" in run.stderr:
            skip(f"strace may not trace here: {run.stderr.strip()}")
        sys.exit(run.stderr)
    calls = []
    unfinished = {}
    with open(log, encoding="utf-8") as lines:
        for line in lines:
            process, text = line.split(None, 1)
            if "<unfinished" in text:  # other threads came between: the call began here
                unfinished[process] = text.split("<unfinished")[0]
                continue
            if text.startswith("<..."):
                text = unfinished.pop(process) + text.split("resumed>", 1)[1]
            begun = re.match(r"(\w+)\((.*)\)\s+= \d+", text)
            if not begun:
                continue
            call, arguments = begun.groups()
            descriptor = re.match(r"\d+<([^>]*)>", arguments)
            quoted = re.findall(r'"([^"]*)"', arguments)
            if descriptor and call != "openat":
                calls.append((call, descriptor.group(1), process))
            elif call.startswith("rename"):
                calls.append((call, quoted[-1], process))
            elif quoted:
                calls.append((call, quoted[0], process))
    return calls


def check_order(calls, folder):
    checkpoints = os.path.join(folder, "run", "checkpoints")
    final = os.path.join(checkpoints, "step_00000042")
    temporary = final + ".tmp-test"
    tensors, blocks, manifest = (os.path.join(temporary, name)
                                 for name in ("checkpoint.h5", "blocks.xxh3", "manifest.json"))
    writes = ("write", "pwrite64", "ftruncate")

    def places(names, path):
        found = [i for i, (call, at, _) in enumerate(calls) if call in names and at == path]
        assert found, (names, path)
        return found

    renamed = places(("rename", "renameat", "renameat2"), final)
    assert len(renamed) == 1
    tensor_syncs = places(("fsync",), tensors)
    assert len(tensor_syncs) == RANKS  # each rank's node has a cache of its own
    # Ranks write at the same time: each syncs after the last write of its own.
    for sync in tensor_syncs:
        own = [i for i in places(writes, tensors) if calls[i][2] == calls[sync][2]]
        assert own and own[-1] < sync, (own, sync)
    digest_syncs = places(("fsync",), blocks)
    assert len(digest_syncs) == RANKS
    for sync in digest_syncs:
        own = [i for i in places(writes, blocks) if calls[i][2] == calls[sync][2]]
        tensor_sync = [i for i in tensor_syncs if calls[i][2] == calls[sync][2]]
        assert own and tensor_sync[0] < own[0] and own[-1] < sync, (tensor_sync, own, sync)
    parent_sync = min(i for i in places(("fsync",), checkpoints) if i > renamed[0])
    order = [
        ("the folder is made", places(("mkdir",), temporary)[0]),
        ("the last write to the tensors", places(writes, tensors)[-1]),
        ("their last fsync", tensor_syncs[-1]),
        ("the last write of the block digests", places(writes, blocks)[-1]),
        ("their last fsync", places(("fsync",), blocks)[-1]),
        ("the first write of the manifest", places(writes, manifest)[0]),
        ("the last write of the manifest", places(writes, manifest)[-1]),
        ("its fsync", places(("fsync",), manifest)[-1]),
        ("the fsync of the folder", places(("fsync",), temporary)[-1]),
        ("the rename", renamed[0]),
        ("the fsync of the parent", parent_sync),
    ]
    for (_, before), (_, after) in zip(order, order[1:]):
        assert before < after, "\n".join(f"{place:6d}  {what}" for what, place in order)
    assert not [1 for call, at, _ in calls if call in writes and at.startswith(final + "/")]
    for what, place in order:
        print(f"{place:6d}  {calls[place][0]:9s} {what}")


if shutil.which("strace") is None:
    skip("strace is not installed")
with tempfile.TemporaryDirectory(prefix="moray-io-") as work:
    work = os.path.realpath(work)
    os.mkdir(os.path.join(work, "run"))
    check_order(trace(sys.argv[1], work), work)
