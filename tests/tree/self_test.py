"""The checks of tree.py can fail: each is given a small tree with one fault."""
import os
import tempfile

import tree


def problems_of(check, files):
    with tempfile.TemporaryDirectory() as root:
        for path, content in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "wb") as file:
                file.write(content)
        return check(root)


def one(check, files):
    found = problems_of(check, files)
    assert len(found) == 1, found


clean = {"modules/moe/gate.cpp": b'#include "core/log.hpp"\n#include "kernels/gate/gate.hpp"\n'}
assert problems_of(tree.check_includes, clean) == []
assert problems_of(tree.check_files, clean) == []
one(tree.check_includes, {"modules/core/log.hpp": b'#include "io/file.hpp"\n'})
one(tree.check_includes, {"kernels/gate/gate.cpp": b'#include "config/deck.hpp"\n'})
one(tree.check_includes, {"kernels/gate/gate.cpp": b'#include "comm/communicator.hpp"\n'})
assert len(problems_of(tree.check_includes, {"modules/moe/a.hpp": b'#include "model/b.hpp"\n',
                                              "modules/model/b.hpp": b'#include "moe/a.hpp"\n'})) == 2
# The parts of the model may share files as long as no files include each other; other folders not.
assert problems_of(tree.check_includes, {"modules/moe/a.hpp": b'#include "model/linear.hpp"\n',
                                         "modules/model/b.hpp": b'#include "moe/a.hpp"\n'}) == []
assert len(problems_of(tree.check_includes, {"modules/model/a.hpp": b'#include "moe/b.hpp"\n',
                                              "modules/moe/b.hpp": b'#include "moe/c.hpp"\n',
                                              "modules/moe/c.hpp": b'#include "model/a.hpp"\n'})) == 3
assert len(problems_of(tree.check_includes, {"modules/io/a.hpp": b'#include "data/b.hpp"\n',
                                              "modules/data/c.hpp": b'#include "io/d.hpp"\n'})) == 2
one(tree.check_files, {"docs/a.md": b"one\r\n"})
one(tree.check_files, {"docs/a.md": b"no line end"})
one(tree.check_files, {"docs/a.md": b"x" * 500_000 + b"\n"})
print("11 passed, 0 failed")
