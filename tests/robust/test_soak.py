"""Thousands of connections and scrapes: after the first of them, the exporter needs no more memory.

The number of sockets at a time must not grow, because memory grows with them by design: the kernel keeps a bounded number
of those that scrapes leave in TIME-WAIT.
"""
import os
import subprocess

from robust import RobustTest, descriptors, resident_bytes, scaled
from tcph import exporter
from tcph.exporter import patience
from tcph.poll import eventually

LOADGEN = os.path.join(exporter.BUILD, 'tests', 'loadgen')
CONNECTIONS = scaled(100000, 1000000)
WARM_UP = scaled(100000, 200000)  # tables and heaps find their size
SCRAPES = scaled(1000, 10000)
ROUNDS = 5
TIME_WAIT_MAX = SCRAPES // ROUNDS // 2  # reached in the warm-up
PORT = 9000  # of the connections: another one would need more memory by right
GROWTH = 1.05


class SoakTest(RobustTest):
    def test_soak(self):
        self.make_truth()
        self.b.sysctl(tcp_max_tw_buckets=TIME_WAIT_MAX)
        self.program = self.start_exporter(self.b)
        pid = self.program.process.pid
        self.load(WARM_UP, SCRAPES // ROUNDS)
        warm = self.measure(pid)
        figures = [warm]
        for _ in range(ROUNDS):
            self.load(CONNECTIONS // ROUNDS, SCRAPES // ROUNDS)
            figures.append(self.measure(pid))
        print('     ' + ', '.join(f'{memory >> 10} KiB {fds} fds' for memory, fds in figures))
        memory, fds = figures[-1]
        self.assertLessEqual(memory, warm[0] * GROWTH, figures)
        self.assertEqual(fds, warm[1], figures)

    def load(self, connections, scrapes):
        """Side by side."""
        batch = 100
        process = self.b.popen(LOADGEN, '127.0.0.1', PORT, connections // batch * batch, batch, 100, 1000, 'reset',
                               stdout=subprocess.DEVNULL)
        for _ in range(scrapes):
            page = self.program.request('/metrics', timeout=patience(5))
            self.assertEqual(page.status, 200)
        self.assertEqual(process.wait(patience(600)), 0)
        self.assert_recovers()

    def measure(self, pid):
        """At rest: the connections of the scrapes are closed. Memory is the most of some moments, for pages come and go."""
        seen = []

        def is_steady():
            seen.append((resident_bytes(pid), descriptors(pid)))
            return len(seen) >= 5 and len({fds for _, fds in seen[-5:]}) == 1

        eventually(is_steady, timeout=patience(20), interval=0.2, what=lambda: f'rest, {seen[-5:]}')
        return max(seen[-5:])
