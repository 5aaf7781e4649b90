#!/usr/bin/env python3
"""Compares sass_mix with NVIDIA's nvdisasm on cubins: the opcodes of every kernel, and its innermost loops.

usage: oracle.py NVDISASM SASS_MIX FILE.cubin ...

By hand, for a new toolkit; no test runs it. nvdisasm: pip install nvidia-cuda-nvdisasm.
"""
import collections
import re
import subprocess
import sys


def oracle(nvdisasm, path):
    """[(histogram, [(first, last)])] of every kernel, in the order of the file."""
    text = subprocess.run([nvdisasm, "-c", path], capture_output=True, text=True, check=True).stdout
    kernels, labels, branches = [], {}, []

    def finish():
        if kernels:
            loops = {(labels[t], at) for t, at in branches if t in labels and labels[t] < at}
            inner = sorted(l for l in loops if not any(o != l and l[0] <= o[0] and o[1] <= l[1] for o in loops))
            kernels[-1] = (kernels[-1], inner)

    pending = []
    for line in text.splitlines():
        if re.match(r"\.text\.\S+:", line):
            finish()
            kernels.append(collections.Counter())
            labels, branches, pending = {}, [], []
        elif m := re.match(r"(\.L_x_\d+):", line):
            pending.append(m[1])
        elif m := re.match(r"\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9]+)(\S*)(.*)", line):
            at, name = int(m[1], 16), m[2]
            for label in pending:
                labels[label] = at
            pending = []
            if name != "NOP":
                kernels[-1][name] += 1
            if name == "BRA" and (t := re.search(r"\(?`?\(?(\.L_x_\d+)", m[4])):
                branches.append((t[1], at))
    finish()
    return kernels


def own(sass_mix, path):
    text = subprocess.run([sass_mix, "--histogram", path], capture_output=True, text=True, check=True).stdout
    kernels, loops = [], []
    for line in text.splitlines()[1:]:
        if m := re.match(r"\s+loop (\w+)\.\.(\w+):", line):
            loops.append((int(m[1], 16), int(m[2], 16)))
        elif m := re.match(r"\s+all: (.*)", line):
            histogram = {w.split()[0]: int(w.split()[1]) for w in m[1].split(", ")}
            kernels.append((collections.Counter(histogram), sorted(loops)))
            loops = []
    return kernels


def main():
    wrong = kernels = instructions = 0
    for path in sys.argv[3:]:
        theirs, ours = oracle(sys.argv[1], path), own(sys.argv[2], path)
        if len(theirs) != len(ours):
            print(f"{path}: {len(theirs)} kernels, sass_mix finds {len(ours)}")
            wrong += 1
            continue
        # the two may list the kernels of a file in different orders
        theirs.sort(key=lambda k: sorted(k[0].items()))
        ours.sort(key=lambda k: sorted(k[0].items()))
        for (h1, l1), (h2, l2) in zip(theirs, ours):
            kernels += 1
            instructions += sum(h1.values())
            if h1 != h2:
                wrong += 1
                print(f"{path}: nvdisasm {dict(h1 - h2)}, sass_mix {dict(h2 - h1)}")
            if l1 != l2:
                wrong += 1
                print(f"{path}: loops {l1}, sass_mix {l2}")
    print(f"{kernels} kernels, {instructions} instructions, {wrong} differences")
    sys.exit(wrong != 0)


main()
