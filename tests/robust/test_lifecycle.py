"""Kills, exits, reloads and pauses at bad moments, dozens of them: no wrong value, no zombie, nothing left behind."""
import contextlib
import os
import random
import signal
import socket
import tempfile
import threading
import time

from robust import NO_ANSWER, RobustTest, descriptors, scaled
from tcph import exporter, expo, https, netns, scenes, web
from tcph.exporter import patience
from tcph.poll import eventually

TIMES = scaled(15, 50)
DENY_NETLINK = os.path.join(exporter.BUILD, 'tests', 'deny_netlink')


class Load:
    """Threads that do something in a `with` block, again and again; what they raise is raised at its end."""

    def __init__(self, work, threads=2):
        self._stop = threading.Event()
        self._errors = []
        self._threads = [threading.Thread(target=self._run, args=(work,), daemon=True) for _ in range(threads)]
        self.done = 0

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(patience(10))
        if self._errors and kind is None:
            raise self._errors[0]

    def _run(self, work):
        try:
            while not self._stop.is_set():
                work()
                self.done += 1
        except BaseException as error:  # pylint: disable=broad-except
            self._errors.append(error)


class LifecycleTest(RobustTest):
    def setUp(self):
        super().setUp()
        self.make_truth()
        self.random = random.Random(7)

    def scrape(self):
        """Whatever comes is whole, or is not."""
        with contextlib.suppress(*NO_ANSWER):
            answer = web.request(self.b, exporter.PORT, '/metrics', timeout=2)
            if answer.status == 200:
                self.assertEqual(self.truth.lies_of(expo.check(answer.body)), '')

    def connect(self, listener):
        """A connection that lives and dies between two samples, and is taken: a full accept queue would slow the load down."""
        with self.pair.a.socket() as client:
            client.settimeout(2)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
            with contextlib.suppress(OSError):
                client.connect(listener.getsockname())
                listener.accept()[0].close()

    def pause(self):
        time.sleep(self.random.uniform(0, 0.15))

    def test_kill(self):
        """kill -9 under scrapes: the next one starts at once on the same address, and tells the truth."""
        with Load(self.scrape) as load:
            for _ in range(TIMES):
                self.program = exporter.Exporter(self.b)
                try:
                    self.pause()
                finally:
                    netns.kill(self.program.process)
        self.assertGreater(load.done, TIMES)

    def test_term_in_the_middle_of_a_scrape(self):
        """It ends within a second, with status 0: Exporter.stop() looks after both."""
        with Load(self.scrape, threads=4) as load:
            for _ in range(TIMES):
                self.program = self.start_exporter(self.b)
                self.pause()
                self.program.stop()
        self.assertGreater(load.done, TIMES)

    def test_reload(self):
        """SIGHUP with good and bad files in turn: the last good one serves, no scrape fails, nothing piles up."""
        site = https.Site(self.enterContext(tempfile.TemporaryDirectory()))
        site.write_tls()
        self.program = self.start_exporter(self.b, f'--web.config.file={site.path}', ready=False)
        session = site.wait(self.program)
        eventually(lambda: session.request('/-/ready').status == 200, timeout=patience(10))
        before = descriptors(self.program.process.pid)

        def scrape():
            answer = session.request('/metrics')
            self.assertEqual((answer.status, self.truth.lies_of(expo.check(answer.body))), (200, ''))

        with Load(scrape, threads=1) as load:
            for i in range(TIMES):
                if i % 2:
                    site.write('tls_server_config: [\n')
                else:
                    site.write_tls(rest=f'http_server_config:\n  headers:\n    X-Frame-Options: {("deny", "sameorigin")[i // 2 % 2]}\n')
                self.reload(i % 2 == 0)
            eventually(lambda: load.done >= TIMES // 2, timeout=patience(30), what='scrapes')
        eventually(lambda: descriptors(self.program.process.pid) <= before + 1, timeout=patience(15),
                   what=lambda: f'{before} descriptors, now {descriptors(self.program.process.pid)}')

    def reload(self, good):
        def told():
            return sum('reloaded' in entry['msg'] and ('not' in entry['msg']) != good
                       for entry in self.program.log_entries())

        before = told()
        self.program.process.send_signal(signal.SIGHUP)
        eventually(lambda: told() > before, timeout=patience(10), what=self.program.log_tail)

    def test_stop_and_continue_under_events(self):
        """Paused while connections die by the hundred: the kernel's buffer may run over, the counts stay right."""
        self.program = self.start_exporter(self.b)
        last = 0
        listener = self.enterContext(self.b.socket())
        listener.bind((self.b.address[4], 0))
        listener.listen(64)
        listener.settimeout(2)
        port = listener.getsockname()[1]
        with Load(lambda: self.connect(listener)) as load:
            for _ in range(TIMES):
                self.program.process.send_signal(signal.SIGSTOP)
                try:
                    self.pause()
                finally:
                    self.program.process.send_signal(signal.SIGCONT)
                page = self.assert_recovers()
                closed = page.value('tcphealth_closed_connections_total', role='server', port=port) or 0
                self.assertGreaterEqual(closed, last)
                last = closed
            eventually(lambda: load.done > 10 * TIMES, timeout=patience(30), what=lambda: f'{load.done} connections')
        self.assert_recovers()

    def test_netlink_taken_away_and_given_back(self):
        switch = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), 'deny')
        self.program = self.start_exporter(Denied(self.b, switch))
        counters = {}
        for _ in range(scaled(3, 50)):
            with open(switch, 'w', encoding='ascii'):
                self.wait_source('procfs')
            self.assert_no_counter_fell(counters)
            os.unlink(switch)
            self.wait_source('netlink')
            self.assert_no_counter_fell(counters)

    def wait_source(self, source):
        """Netlink is tried again after 1 s, 2 s, 4 s, ...: from the first refusal on."""
        self.program.wait_value(1, 'tcphealth_sample_source', timeout=60, source=source)

    def assert_no_counter_fell(self, counters):
        page = self.assert_recovers()
        for series, value in page.samples.items():
            if series[0].endswith('_total'):
                self.assertGreaterEqual(value, counters.get(series, 0), series)
                counters[series] = value


class Denied:
    """A host on which netlink is refused to what is started there, while a file exists."""

    def __init__(self, host, switch):
        self.host = host
        self.switch = switch

    def __getattr__(self, name):
        return getattr(self.host, name)

    def popen(self, *argv, **options):
        return self.host.popen(DENY_NETLINK, self.switch, *argv, **options)
