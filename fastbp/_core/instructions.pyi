"""The instructions of a plan as they run: for `cimport` alone."""
