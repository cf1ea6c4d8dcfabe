"""The include graph of include/tacit, by its text."""

import pathlib
import re

LIBTORCH = re.compile(r"(ATen|torch|c10|caffe2)/")


class Tree:
    def __init__(self, source):
        self.include = pathlib.Path(source) / "include"
        self.headers = sorted(str(p.relative_to(self.include)) for p in (self.include / "tacit").rglob("*.hpp"))
        self.text = {h: (self.include / h).read_text() for h in self.headers}
        # Conditional includes count as includes.
        self.includes = {h: re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', t, re.MULTILINE) for h, t in self.text.items()}
        self._reach = {}

    def reach(self, header):
        """Everything that a header includes, directly or not, itself not counted."""
        if header not in self._reach:
            seen, pending = set(), list(self.includes[header])
            while pending:
                name = pending.pop()
                if name not in seen:
                    seen.add(name)
                    pending += self.includes.get(name, [])
            self._reach[header] = seen
        return self._reach[header]

    def needs_libtorch(self, header):
        return any(LIBTORCH.match(name) for name in self.reach(header))

    def needs_nccl(self, header):
        """Such a header is compiled by tests/nccl, where CUDA's and NCCL's headers are."""
        return re.search(r"^// needs: NCCL", self.text[header], re.MULTILINE) is not None

    def once_only(self, header):
        """A header that holds definitions for one translation unit of a program says so in a line of its own."""
        return re.search(r"^// include: in one translation unit", self.text[header], re.MULTILINE) is not None
