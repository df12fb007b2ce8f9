"""Counting of cases, and the size of a run."""
import atexit
import os
import sys
import threading

SIZE = os.environ.get("CREDBROKER_TEST_SIZE", "ci")


def sized(ci, full, long):
    """The value for this size of tests/run."""
    return {"ci": ci, "full": full, "long": long}[SIZE]


class Cases:
    """Cases of one program. Every one is printed; finish() prints the totals and exits."""

    def __init__(self):
        self.passed = 0
        self.failures = 0
        self._lock = threading.Lock()

    def check(self, good, what, detail=""):
        with self._lock:
            if good:
                self.passed += 1
                print(f"ok: {what}", flush=True)
            else:
                self.failures += 1
                print(f"FAILED: {what}{': ' if detail else ''}{detail}", flush=True)
        return bool(good)

    def finish(self):
        print(f"TESTS {self.passed} {self.failures}", flush=True)
        sys.stdout.flush()
        # gRPC's threads must not keep a finished test alive, which an ordinary exit would let them.
        atexit._run_exitfuncs()  # pylint: disable=protected-access
        os._exit(1 if self.failures else 0)
