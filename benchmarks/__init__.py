"""Benchmarks of fastbp: the package behind the command ``fastbp-bench``.

A benchmark is one small class (`registry`); whatever is timed runs in a fresh child process with
its threads limited (`worker`), driven sample by sample by the parent (`runner`).
"""
