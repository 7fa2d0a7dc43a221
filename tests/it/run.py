#!/usr/bin/python3
"""Runs the integration tests: every test_*.py next to this file.

    tests/it/run.py [-k PATTERN]... [--list] [--timeout SECONDS] [FILE...]

A test that hangs is ended after the timeout. With TCPH_RETRIES=1, for busy machines, a test that failed runs again after
all others. The second result counts; a test that then passes is reported as FLAKY. The last line is
`N passed, N failed, N skipped`. TCPHEALTH_BUILD names the build directory (build), TCPHEALTH_BIN the program itself.
"""
import argparse
import faulthandler
import fnmatch
import os
import signal
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

from tcph import exporter, netns  # pylint: disable=wrong-import-position


class TestTimeout(Exception):
    """A test took too long."""


class Result(unittest.TestResult):
    """Prints a line a test, with how long it took, and the whole story of a failure."""

    def __init__(self, timeout):
        super().__init__()
        self.timeout = timeout
        self.counts = {'ok': 0, 'FAIL': 0, 'SKIP': 0}
        self.failed = []
        self._begun = None
        self._stories = {}

    def startTest(self, test):
        super().startTest(test)
        self._begun = time.monotonic()
        signal.alarm(self.timeout)
        # For a test that the alarm does not reach, as it waits in C: end the run and show where.
        faulthandler.dump_traceback_later(self.timeout + 30, exit=True)

    def stopTest(self, test):
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        self._conclude(test)
        self._begun = None
        super().stopTest(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._tell(test, 'FAIL', self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self._tell(test, 'FAIL', self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            last = self.failures if issubclass(err[0], test.failureException) else self.errors
            self._tell(test, 'FAIL', f'{subtest}\n{last[-1][1]}')

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._tell(test, 'SKIP', reason)

    def _tell(self, test, verdict, story):
        self._stories.setdefault(verdict, []).append(story)
        if self._begun is None:  # setUpClass or setUpModule: no test was begun
            self._conclude(test)

    def _conclude(self, test):
        verdict = next((worst for worst in ('FAIL', 'SKIP') if worst in self._stories), 'ok')
        stories = self._stories.pop(verdict, [])
        self._stories.clear()
        self.counts[verdict] += 1
        if verdict == 'FAIL':
            self.failed.append(name_of(test))
        seconds = time.monotonic() - self._begun if self._begun else 0
        print(f'{verdict:4} {seconds:6.2f}s {name_of(test)}', *stories if verdict == 'SKIP' else ())
        for line in '\n'.join(stories).splitlines() if verdict == 'FAIL' else ():
            print('    ' + line)
        sys.stdout.flush()


def name_of(test):
    return test.id() if isinstance(test, unittest.TestCase) else str(test)


def each_test(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each_test(test)
        else:
            yield test


def select(tests, patterns):
    """Those whose name matches one of the patterns, as words or as shell patterns."""
    if not patterns:
        return list(tests)
    return [test for test in tests
            if any(pattern in name_of(test) or fnmatch.fnmatch(name_of(test), pattern) for pattern in patterns)]


def load(files):
    loader = unittest.TestLoader()
    if not files:
        return each_test(loader.discover(HERE, pattern='test_*.py', top_level_dir=HERE))
    modules = (os.path.splitext(os.path.basename(file))[0] for file in files)
    return each_test(loader.loadTestsFromNames(modules))


def on_alarm(*_):
    raise TestTimeout()


def run_again(first, timeout):
    """The tests that failed, once more: what they do now is what counts."""
    loader = unittest.TestLoader()
    names = [name for name in first.failed if name.startswith('test_')]
    print(f'== {len(names)} again')
    second = Result(timeout)
    unittest.TestSuite(loader.loadTestsFromNames(names)).run(second)
    for name in names:
        print('still failing' if name in second.failed else 'FLAKY', name)
    passed = len([name for name in names if name not in second.failed])
    first.counts['FAIL'] -= passed
    first.counts['ok'] += passed


def run(tests, timeout):
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    result = Result(timeout)
    begun = time.monotonic()
    unittest.TestSuite(tests).run(result)
    if result.failed and int(os.environ.get('TCPH_RETRIES', '0')):
        run_again(result, timeout)
    print(f'{time.monotonic() - begun:.1f} seconds')
    print('{ok} passed, {FAIL} failed, {SKIP} skipped'.format(**result.counts))
    return 1 if result.counts['FAIL'] or not tests else 0


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument('-k', dest='patterns', action='append', help='only tests whose name has this in it')
    options.add_argument('--list', action='store_true', help='print the names of the tests')
    options.add_argument('--timeout', type=int, default=60, help='seconds a test may take (60)')
    options.add_argument('files', nargs='*', metavar='FILE')
    options = options.parse_args()
    tests = select(load(options.files), options.patterns)
    if options.list:
        print('\n'.join(name_of(test) for test in tests))
        return 0
    netns.sweep()
    # A sanitized program takes its time.
    return run(tests, options.timeout * (3 if exporter.patience(1) > 1 else 1))


if __name__ == '__main__':
    sys.exit(main())
