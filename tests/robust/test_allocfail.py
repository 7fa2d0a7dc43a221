"""Each allocation after the start fails, once and for good: no crash, no leak, no lie on the page, and it recovers."""
import contextlib
import itertools
import signal
import tempfile
import time

from robust import NO_ANSWER, RobustTest, Through, scaled
from tcph import exporter, expo, https, scenes
from tcph.poll import eventually

import allocfail

#: Rounds of the whole workload without a new place, after which all places are taken as found.
QUIET_ROUNDS = scaled(2, 6)
DEPTH = scaled(5, 12)
LIMIT_S = scaled(70, 1500)
HOLD_S = 0.25  # how long a failure for good lasts, two samples and more


class Workload:
    """One after the other, all that makes the exporter allocate while it runs."""

    def __init__(self, test):
        self.test = test
        self.steps = [
            lambda: test.ask(),
            lambda: test.ask(form=expo.OPENMETRICS),
            lambda: test.ask('/metrics', headers={'Accept-Encoding': 'identity'}),
            self.compressed,
            lambda: test.ask('/'),
            lambda: test.ask('/', headers={'Accept-Encoding': 'gzip'}),
            lambda: test.ask('/-/ready'),
            lambda: test.ask('/api/v1/ports'),
            lambda: test.ask('/api/v1/connections?holders=1'),
            lambda: test.ask('/api/v1/connections?port=%zz&port=1&x=y'),
            lambda: test.ask('/nothing?a=b', headers={'Cookie': 'a=b', 'X-Long': 'x' * 3000}),
            lambda: test.ask('/metrics', method='POST', body='x' * 5000),
            lambda: test.program.process.send_signal(signal.SIGHUP),
            self.churn,
        ]

    def compressed(self):
        with contextlib.suppress(*NO_ANSWER):
            self.test.program.request('/metrics', headers={'Accept-Encoding': 'gzip'})

    def churn(self):
        """New ports, and connections that live and die between samples."""
        scene = scenes.established(self.test.pair)
        self.test.program.process.poll()
        scene.close()

    def run(self):
        """All steps; the samples go on beside them."""
        for step in self.steps:
            step()


class AllocationFailureTest(RobustTest):
    def start(self, allocator, *args):
        self.program = self.start_exporter(Through(self.b, *allocator.launcher), '--ports.max=20', *args)
        self.workload = Workload(self)
        for _ in range(3):
            self.workload.run()
        self.assert_recovers('before anything fails')

    def sweep(self, allocator, mode):
        """Makes place after place fail until no new one is found; returns how many there were."""
        allocator.forget_places()
        quiet = 0
        steps = itertools.cycle(self.workload.steps + [lambda: time.sleep(0.11)])
        end = time.monotonic() + LIMIT_S
        while quiet < QUIET_ROUNDS * (len(self.workload.steps) + 1) and time.monotonic() < end:
            before = allocator.control.places
            allocator.control.mode = mode
            next(steps)()
            if mode == allocfail.FOR_GOOD and allocator.control.mode == allocfail.ALL:
                self.suffer()
            allocator.control.mode = allocfail.OFF
            quiet = quiet + 1 if allocator.control.places == before else 0
            self.assert_alive_after(allocator)
            if allocator.control.places != before:
                self.assert_recovers_from(allocator)
                if __import__("os").environ.get("PLACES"): print("    ", mode, allocator.place(self.program.process.pid)[:300])
        self.assertEqual(allocator.control.overflow, 0)
        self.assertLess(time.monotonic(), end, f'{allocator.control.places} places and no end')
        return allocator.control.places

    def suffer(self):
        """While nothing can be allocated."""
        end = time.monotonic() + HOLD_S
        while time.monotonic() < end:
            self.ask(timeout=2)
            self.assert_alive()

    def assert_alive_after(self, allocator):
        if self.program.process.poll() is not None:
            self.fail(f'status {self.program.process.returncode} after a failure at '
                      f'{[hex(frame) for frame in allocator.control.stack]}\n{self.program.log_tail()}')

    def assert_recovers_from(self, allocator):
        try:
            self.assert_recovers()
        except AssertionError as error:
            raise AssertionError(f'after {allocator.place(self.program.process.pid)}: {error}') from None

    def ends_without_leak(self, allocator, normal):
        """Its last words are a list of blocks; `normal` are those of a run without failures."""
        self.program.stop()
        found = [f'{blocks} more blocks of {allocfail.explain(stack)}'
                 for stack, blocks in (allocator.leaks() - normal).items()]
        self.assertEqual(found, [], '\n'.join(found))

    def normal_blocks(self, *args):
        """What is never freed anyhow: caches of libraries."""
        with allocfail.Allocator() as allocator:
            self.start(allocator, *args)
            allocator.record()
            self.workload.run()
            self.program.stop()
            return allocator.leaks()

    def try_all(self, *args):
        self.make_truth()
        normal = self.normal_blocks(*args)
        found = {}
        for name, mode in (('once', allocfail.ONCE), ('for good', allocfail.FOR_GOOD)):
            with self.subTest(how=name), allocfail.Allocator(DEPTH) as allocator:
                self.start(allocator, *args)
                allocator.record()
                found[name] = self.sweep(allocator, mode)
                self.ends_without_leak(allocator, normal)
        print(f'     places: {found}')

    def test_plain(self):
        self.try_all()

