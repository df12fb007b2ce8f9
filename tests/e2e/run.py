#!/usr/bin/python3
"""Runs the end-to-end tests:  tests/e2e/run.py [WORD..]   (only tests whose name contains a WORD)

Environment: CREDBROKER_BIN (folder of the programs, default build/release/bin),
CREDBROKER_TEST_SIZE (ci, full, long). The last line is "N passed, N failed"; the results go to
$STEP_RESULT as tests/steps/README.md says. prepare.sh sets the foreign clients up.
"""
import os
import pathlib
import subprocess
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True


def prepared(folder):
    """The foreign clients' places, KEY=VALUE, from the folder's prepare.sh."""
    done = subprocess.run(['bash', folder / 'prepare.sh'], check=True, stdout=subprocess.PIPE,
                          text=True)
    return dict(line.split('=', 1) for line in done.stdout.splitlines() if '=' in line)


class Result(unittest.TextTestResult):
    """One line a test, with its time."""

    def startTest(self, test):
        self.began = time.monotonic()
        unittest.TestResult.startTest(self, test)

    def line(self, word, test):
        self.stream.writeln(f'{word:7} {time.monotonic() - self.began:6.2f} s  {test.id()}')
        self.stream.flush()

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.succeeded = getattr(self, 'succeeded', 0) + 1
        self.line('ok', test)

    def addFailure(self, test, err):
        unittest.TestResult.addFailure(self, test, err)
        self.line('FAILED', test)

    def addError(self, test, err):
        unittest.TestResult.addError(self, test, err)
        if hasattr(test, '_testMethodName'):
            self.line('FAILED', test)

    def addSkip(self, test, reason):
        unittest.TestResult.addSkip(self, test, reason)
        self.stream.writeln(f'skipped           {test.id()}: {reason}')


def flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def main(folder):
    os.environ.update(prepared(folder))
    tests = unittest.TestSuite()
    words = sys.argv[1:]
    for test in flat(unittest.defaultTestLoader.discover(str(folder), '*_test.py', str(folder))):
        if not words or any(word in test.id() for word in words):
            tests.addTest(test)
    result = unittest.TextTestRunner(stream=sys.stdout, resultclass=Result, verbosity=0).run(tests)
    passed = getattr(result, 'succeeded', 0)
    failed = len(result.failures) + len(result.errors)
    if os.environ.get('STEP_RESULT'):
        with open(os.environ['STEP_RESULT'], 'a', encoding='utf-8') as out:
            out.write(f'TESTS {passed} {failed}\n')
    print(f'{passed} passed, {failed} failed')
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == '__main__':
    sys.exit(main(HERE))
