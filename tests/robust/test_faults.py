"""System calls that fail, injected by strace: the exporter stays alive and honest, and recovers when they work again."""
import contextlib
import os
import subprocess
import time

from robust import RobustTest, Through
from tcph import exporter, expo, netns
from tcph.exporter import patience
from tcph.poll import eventually

from faults import Fault

HOLD_S = 0.35  # how long a fault lasts at least: three samples
DUMP, EVENTS, ACCEPT, WORKER, MAIN = 'tcphealth-dump', 'tcphealth-event', 'http-accept', 'MHD-worker', 'tcphealth_expor'

# What becomes of the samples while the fault lasts.
GOOD = 'good'      # they succeed
BAD = 'bad'        # they fail, and the page says so
PROCFS = 'procfs'  # they succeed from /proc/net/tcp
EITHER = 'either'  # some do
UNSEEN = 'unseen'  # no page is served

#: Thread, calls, how they fail, and what becomes of the samples.
PAIRS = (
    (DUMP, 'recvfrom', 'error=ENOBUFS', EITHER),
    (DUMP, 'recvfrom', 'error=ENOBUFS:when=1', EITHER),
    (DUMP, 'recvfrom', 'error=EINTR', BAD),
    (DUMP, 'recvfrom', 'error=EINTR:when=1+2', GOOD),
    (DUMP, 'recvfrom', 'error=ENOMEM', BAD),
    (DUMP, 'recvfrom', 'error=EPERM', PROCFS),
    (DUMP, 'recvfrom', 'error=EAGAIN', EITHER),
    (DUMP, 'recvfrom', 'error=ECONNREFUSED', PROCFS),
    (DUMP, 'recvfrom', 'retval=0', EITHER),
    (DUMP, 'recvfrom', 'retval=10', EITHER),
    (DUMP, 'recvfrom', 'retval=32768', EITHER),
    (DUMP, 'sendto', 'error=EPERM', PROCFS),
    (DUMP, 'sendto', 'error=ENOBUFS', EITHER),
    (DUMP, 'sendto', 'error=ENOMEM', BAD),
    (DUMP, 'sendto', 'error=EINTR:when=1+2', GOOD),
    (DUMP, 'sendto', 'error=EMFILE', EITHER),
    (DUMP, 'sendto', 'error=ECONNREFUSED', PROCFS),
    (DUMP, 'openat', 'error=EMFILE', GOOD),
    (DUMP, 'openat', 'error=ENFILE', GOOD),
    (DUMP, 'openat', 'error=EACCES', GOOD),
    (DUMP, 'openat', 'error=ENOMEM', GOOD),
    (DUMP, 'read', 'error=EIO', GOOD),
    (DUMP, 'read', 'error=EINTR:when=1+2', GOOD),
    (DUMP, 'read', 'retval=0', GOOD),
    (DUMP, 'read', 'error=ENOMEM', GOOD),
    (DUMP, 'getdents64', 'error=EIO', GOOD),
    (DUMP, 'newfstatat', 'error=EACCES', GOOD),
    (DUMP, 'access', 'error=EACCES', GOOD),
    (DUMP, 'getsockopt', 'error=ENOMEM', GOOD),
    (DUMP, 'poll', 'error=EINTR', GOOD),
    (DUMP, 'poll', 'error=ENOMEM', GOOD),
    (DUMP, 'poll', 'error=EINVAL', GOOD),
    (EVENTS, 'recvmmsg', 'error=ENOBUFS', GOOD),
    (EVENTS, 'recvmmsg', 'error=EINTR', GOOD),
    (EVENTS, 'recvmmsg', 'error=ENOMEM', GOOD),
    (EVENTS, 'recvmmsg', 'error=EBADF', GOOD),
    (EVENTS, 'recvmmsg', 'retval=0', GOOD),
    (EVENTS, 'poll', 'error=ENOMEM', GOOD),
    (MAIN, 'poll', 'error=ENOMEM', GOOD),
    (MAIN, 'poll', 'error=EINTR', GOOD),
    (ACCEPT, 'accept4', 'error=EMFILE', UNSEEN),
    (ACCEPT, 'accept4', 'error=ENFILE', UNSEEN),
    (ACCEPT, 'accept4', 'error=ENOBUFS', UNSEEN),
    (ACCEPT, 'accept4', 'error=ENOMEM', UNSEEN),
    (ACCEPT, 'accept4', 'error=ECONNABORTED', UNSEEN),
    (ACCEPT, 'accept4', 'error=EINTR', UNSEEN),
    (ACCEPT, 'accept4', 'error=EPERM', UNSEEN),
    (ACCEPT, 'accept4', 'error=EMFILE:when=1+2', GOOD),
    (ACCEPT, 'poll', 'error=ENOMEM', UNSEEN),
    (ACCEPT, 'epoll_ctl', 'error=ENOMEM', UNSEEN),
    (WORKER, 'epoll_wait', 'error=EINTR:when=1+2', GOOD),
    (WORKER, 'epoll_ctl', 'error=ENOMEM', UNSEEN),
    (WORKER, 'recvfrom', 'error=EINTR:when=1+2', GOOD),
    (WORKER, 'recvfrom', 'error=EAGAIN:when=1+2', GOOD),
    (WORKER, 'recvfrom', 'error=ENOMEM', UNSEEN),
    (WORKER, 'recvfrom', 'error=ENOBUFS', UNSEEN),
    (WORKER, 'recvfrom', 'retval=0', UNSEEN),
    (WORKER, 'sendto,sendmsg', 'error=ENOBUFS', UNSEEN),
    (WORKER, 'sendto,sendmsg', 'error=EINTR:when=1+2', GOOD),
    (WORKER, 'sendto,sendmsg', 'error=EPIPE', UNSEEN),
)


def thread_ids(pid, name):
    found = []
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/comm', encoding='utf-8') as file:
            if file.read().strip() == name:
                found.append(int(task))
    return found


class RunningTest(RobustTest):
    """One exporter lives through all of them."""

    def setUp(self):
        super().setUp()
        self.make_truth()
        self.b.sysctl(ip_local_port_range='40000 40999')

    def watch(self, fault, least):
        """What pages say while the fault lasts: a set of GOOD, BAD, PROCFS and UNSEEN. Each is honest."""
        found = []
        end, last = time.monotonic() + HOLD_S, time.monotonic() + patience(5)
        while time.monotonic() < end or not fault.struck() and time.monotonic() < last or len(found) < least:
            found.append(self.look())
            self.assert_alive()
        self.assertTrue(fault.struck(), 'the call was not made')
        return found

    def look(self):
        page = self.ask(timeout=0.3)
        if page is None:
            return UNSEEN
        if page.value('tcphealth_sample_success') == 0:
            return BAD
        return PROCFS if page.value('tcphealth_sample_source', source='procfs') == 1 else GOOD

    def assert_shows(self, wanted, seen):
        if wanted == EITHER:
            self.assertNotIn(UNSEEN, seen)
        else:
            self.assertIn(wanted, seen)
            if wanted != GOOD:
                self.assertNotIn(wanted == UNSEEN and BAD, seen[1:])
                self.assertEqual(seen[-1], wanted)
            else:
                self.assertLessEqual(set(seen), {GOOD})

    def assert_netlink_again(self):
        """It is tried again after 1 s, 2 s, ..."""
        eventually(lambda: self.look() == GOOD, timeout=patience(20), what='netlink again\n')

    def try_pair(self, thread, calls, how, wanted):
        with contextlib.ExitStack() as stack:
            faults = [stack.enter_context(Fault(task, calls, how))
                      for task in thread_ids(self.program.process.pid, thread)]
            self.assertTrue(faults, thread)
            seen = self.watch(AnyOf(faults), 3)
        self.assert_shows(wanted, seen)
        self.assert_recovers(f'{thread} {calls} {how}')
        self.assert_netlink_again()

    def test_pairs(self):
        self.program = self.start_exporter(self.b)
        for pair in PAIRS:
            with self.subTest(pair=pair):
                begun = time.monotonic()
                self.try_pair(*pair)
                if os.environ.get('PAIRS'): print(pair, f'{time.monotonic()-begun:.2f}')


class AnyOf:
    def __init__(self, faults):
        self._faults = faults

    def struck(self):
        return any(fault.struck() for fault in self._faults)
