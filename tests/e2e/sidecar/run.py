#!/usr/bin/python3
"""Runs the tests of the sidecar behind real proxies:  tests/e2e/sidecar/run.py [WORD..]

As tests/e2e/run.py; prepare.sh of this folder builds the examples.
"""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[0] = str(HERE.parent)
import run  # noqa: E402  (the one above)

if __name__ == '__main__':
    sys.path.insert(0, str(HERE))
    sys.exit(run.main(HERE))
