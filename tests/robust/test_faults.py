"""System calls fail, injected by strace: the exporter stays alive and correct, and recovers when they work again."""
import contextlib
import tempfile
import time

from robust import FULL, SAMPLER as DUMP, RobustTest, Through, scaled, thread_ids
from tcph import exporter, netns
from tcph.exporter import patience
from tcph.poll import eventually

from faults import Fault

HOLD_S = 0.35  # how long a fault lasts at least: some samples
EVENTS, ACCEPT, WORKER, MAIN = 'tcphealth-event', 'http-accept', 'MHD-worker', 'tcphealth_expor'

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
    # They end by themselves: a call that strace leaves half-way fails with ENOSYS, which ends the reader.
    (EVENTS, 'recvmmsg', 'error=ENOBUFS:when=1..9', GOOD),
    (EVENTS, 'recvmmsg', 'error=EINTR:when=1..9', GOOD),
    (EVENTS, 'recvmmsg', 'retval=0:when=1..9', GOOD),
    (EVENTS, 'poll', 'error=ENOMEM:when=1..30', GOOD),
    (EVENTS, 'poll', 'error=EINTR:when=1..30', GOOD),
    (EVENTS, 'recvmmsg', 'error=EBADF', GOOD),
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
    (ACCEPT, 'fcntl', 'error=EINVAL', UNSEEN),
    (ACCEPT, 'poll', 'error=ENOMEM', UNSEEN),
    (ACCEPT, 'poll', 'error=EINTR', UNSEEN),
    (WORKER, 'poll', 'error=EINTR:when=1+2', GOOD),
    (WORKER, 'poll', 'error=ENOMEM', UNSEEN),
    (WORKER, 'recvfrom', 'error=EINTR:when=1+2', GOOD),
    (WORKER, 'recvfrom', 'error=ENOMEM', UNSEEN),
    (WORKER, 'recvfrom', 'error=ENOBUFS', UNSEEN),
    (WORKER, 'recvfrom', 'retval=0', UNSEEN),
    (WORKER, 'sendto,sendmsg', 'error=ENOBUFS', UNSEEN),
    (WORKER, 'sendto,sendmsg', 'error=EINTR:when=1+2', GOOD),
    (WORKER, 'sendto,sendmsg', 'error=EPIPE', UNSEEN),
)


def sample_begin(page):
    return (page.value('tcphealth_last_sample_timestamp_seconds', tier='full')
            - page.value('tcphealth_sample_duration_seconds'))


class RunningTest(RobustTest):
    """One exporter lives through all of them."""

    def setUp(self):
        super().setUp()
        self.make_truth()

    def look(self):
        """The state of the samples that a page tells of, and the page."""
        page = self.ask(timeout=1)
        if page is None:
            return UNSEEN, None
        if page.value('tcphealth_sample_source', source='procfs') == 1:
            return PROCFS, page
        return (GOOD if page.value('tcphealth_sample_success') == 1 else BAD), page

    def shows(self, wanted, begun):
        """Under strace a sample may take longer than the interval, for which the page says BAD as well."""
        state, page = self.look()
        if wanted == GOOD:
            return state == GOOD and sample_begin(page) >= begun
        return state == wanted or wanted == EITHER and time.time() >= begun + HOLD_S

    def errors(self):
        page = self.ask()
        return page.value('tcphealth_sample_errors_total') if page else None

    @contextlib.contextmanager
    def failing(self, thread, calls, how):
        """The faults of all threads of the name."""
        with contextlib.ExitStack() as stack:
            faults = [stack.enter_context(Fault(task, calls, how))
                      for task in thread_ids(self.program.process.pid, thread)]
            self.assertTrue(faults, f'no thread {thread}\n{self.program.log_tail()}')
            yield faults

    def try_pair(self, thread, calls, how, wanted):
        before = self.errors()
        with self.failing(thread, calls, how) as faults:
            begun = time.time()
            eventually(lambda: self.shows(wanted, begun) and any(fault.struck() for fault in faults),
                       timeout=patience(10), what=lambda: f'{wanted}, now {self.look()[0]}\n{self.program.log_tail()}')
            self.assert_alive()
        self.assert_recovers()
        eventually(lambda: self.look()[0] == GOOD, timeout=patience(30), what='netlink again')
        if wanted == GOOD:
            self.assertEqual(self.errors(), before)

    def try_pairs(self, pairs):
        for pair in pairs:
            with self.subTest(pair=pair):
                self.try_pair(*pair)

    def start(self):
        self.b.sysctl(ip_local_port_range='40000 40999')
        self.program = self.start_exporter(self.b)

    def test_samples(self):
        self.start()
        self.try_pairs(pair for pair in PAIRS if pair[0] == DUMP)

    def test_serving(self):
        self.start()
        self.try_pairs(pair for pair in PAIRS if pair[0] in (ACCEPT, WORKER, MAIN))

    def test_events(self):
        self.start()
        self.try_pairs(pair for pair in PAIRS if pair[0] == EVENTS)
        self.assertEqual(self.program.page().value('tcphealth_events_active'), 0)  # the last one ended them
        if FULL:
            self.program.wait_value(1, 'tcphealth_events_active', timeout=70)

    def test_waiting_that_fails_does_not_spin(self):
        """A thread whose poll(2) fails for good goes on waiting, in steps: 50 a second, and not as many as it can."""
        self.start()
        for thread, how in ((MAIN, 'ENOMEM'), (ACCEPT, 'ENOMEM'), (WORKER, 'ENOMEM'), (EVENTS, 'EINTR'), (DUMP, 'EINTR')):
            with self.subTest(thread=thread, how=how), self.failing(thread, 'poll', f'error={how}:when=1..500') as faults:
                begun = time.monotonic()
                # Something to wake it: a request is a connection, and its end an event.
                eventually(lambda found=faults: self.look() and any(fault.struck() for fault in found),
                           timeout=patience(10), what='the first stroke')
                time.sleep(1)
                most = 20 + 60 * (time.monotonic() - begun)
                for fault in faults:
                    self.assertLess(fault.count(), most)
        self.assert_recovers()

    def test_netlink_socket_cannot_be_had(self):
        """Refused first, so that it is closed and opened anew."""
        pairs = (('socket', 'EMFILE'), ('bind', 'ENOMEM'), ('socket', 'EPERM'), ('socket', 'EAFNOSUPPORT'))
        for calls, how in pairs[:scaled(1, 4)]:
            with self.subTest(calls=calls, how=how):
                self.start()
                try:
                    self.refuse_and_reopen(calls, how)
                finally:
                    self.program.stop()

    def refuse_and_reopen(self, calls, how):
        (task,) = thread_ids(self.program.process.pid, DUMP)
        with Fault(task, calls, 'error=' + how, 'sendto:error=EPERM:when=1..3') as fault:
            eventually(lambda: self.look()[0] == PROCFS and fault.struck(4), timeout=patience(20),
                       what=lambda: f'{fault.count()} strokes, {self.look()[0]}\n{self.program.log_tail()}')
        self.assert_recovers()
        eventually(lambda: self.look()[0] == GOOD, timeout=patience(30), what='netlink again')

    def test_settings_stay(self):
        """That a setting cannot be read now does not make it another: the roles of ports hang on it."""
        self.start()
        before = self.settings(self.assert_recovers())
        self.assertIn(40000, before.values())
        (task,) = thread_ids(self.program.process.pid, DUMP)
        with Fault(task, 'openat', 'error=EMFILE') as fault:
            begun = time.time()
            eventually(lambda: self.shows(GOOD, begun) and fault.struck(), timeout=patience(10))
            self.assertEqual(self.settings(self.program.page()), before)

    def settings(self, page):
        names = ('tcphealth_sysctl_local_port', 'tcphealth_sysctl_retries2')
        return {(name, *labels.values()): value for name in names for labels, value in page.series(name)}


class StartTest(RobustTest):
    """A call fails at the start: the exporter ends with a line that says why, or works."""

    #: Calls, how they fail, and whether that is the end.
    PAIRS = (
        ('socket', 'error=EMFILE', True), ('socket', 'error=EPERM', True), ('socket', 'error=EPERM:when=1', None),
        ('socket', 'error=EPERM:when=2', None), ('bind', 'error=ENOMEM:when=1', None),
        ('bind', 'error=EACCES', True), ('listen', 'error=EADDRINUSE', True), ('eventfd2', 'error=EMFILE', True),
        ('signalfd4', 'error=EMFILE', True),
        # The first is the self-test's, behind the filter; before it, the C library takes clone3.
        ('clone', 'error=EAGAIN:when=1', True), ('clone', 'error=EAGAIN:when=2', True),
        ('clone', 'error=EAGAIN:when=3', None), ('clone', 'error=EAGAIN:when=4', None),
        ('setsockopt', 'error=EPERM', None), ('prctl', 'error=EINVAL', None),
        ('setpriority', 'error=EPERM', False), ('seccomp', 'error=EINVAL', False), ('seccomp,prctl', 'error=ENOSYS', False),
        ('getsockopt', 'error=ENOMEM', None), ('fcntl', 'error=EINVAL', True),
        ('getdents64', 'error=EIO', False), ('access', 'error=EACCES', False),
    )

    def test_start(self):
        self.make_truth()
        for calls, how, ends in self.PAIRS:
            with self.subTest(calls=calls, how=how):
                self.try_start(calls, how, ends)

    def try_start(self, calls, how, ends):
        with tempfile.NamedTemporaryFile(prefix='tcph-strace-') as log:
            launcher = ('strace', '-D', '-f', '-qq', '-o', log.name, '-e', 'trace=' + calls, '-e', 'signal=none',
                        '-e', f'inject={calls}:{how}')
            program = exporter.Exporter(Through(self.b, *launcher), ready=False)
            self.program = program
            try:
                self.wait_verdict()
            finally:
                status = program.process.poll()
                netns.kill(program.process)
            said = f'status {status}\n{program.log_text()}'
            self.assertIn(b'INJECTED', log.read(), said)
        self.assertIn(status, {True: (1,), False: (None,), None: (None, 1)}[ends], said)
        if calls == 'seccomp':
            self.assertIn('running without a sandbox', said)
        if (calls, how) == ('clone', 'error=EAGAIN:when=1'):
            self.assertIn('call=pthread_create', said)
        if status == 1:
            self.assertRegex(program.log_text(), 'level=error')

    def wait_verdict(self):
        """Until it has ended, or served a good sample."""
        def is_over():
            if self.program.process.poll() is not None:
                return True
            try:
                return self.ask(timeout=2) is not None
            except AssertionError:
                if self.program.process.poll() is None:
                    raise
                return True  # it ended meanwhile

        eventually(is_over, timeout=patience(20), what=self.program.log_tail)
