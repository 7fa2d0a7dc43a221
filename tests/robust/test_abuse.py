"""HTTP from a hostile peer: another address still gets its scrape within a second; memory and log stay small."""
import contextlib
import os
import resource
import socket
import subprocess
import sys
import threading
import time

from robust import NO_ANSWER, RobustTest, resident_bytes, scaled
from tcph import exporter, expo, ss, web
from tcph.exporter import patience
from tcph.poll import eventually

RAW = os.path.join(exporter.ROOT, 'tests', 'http', 'test_http_raw.py')
SECONDS = scaled(5, 30)
SCRAPE_S = 1.0
MEMORY_MAX = 128 << 20
LOG_LINES_PER_S = 10


class AbuseTest(RobustTest):
    """The peer is host a; the scraper is 127.0.0.1 on host b, where the exporter is."""

    def setUp(self):
        super().setUp()
        self.make_truth()
        self.program = self.start_exporter(self.b, f'--web.listen-address=:{exporter.PORT}')

    @contextlib.contextmanager
    def harmless(self):
        """What happens in the block does no harm: pages come in time, memory and log are bounded."""
        begun, lines = time.monotonic(), len(self.program.log_text().splitlines())
        stop, errors, slowest = threading.Event(), [], [0.0]
        scraper = threading.Thread(target=self.scrape, args=(stop, errors, slowest), daemon=True)
        scraper.start()
        try:
            yield
        finally:
            stop.set()
            scraper.join(patience(10))
        self.assertEqual(errors, [])
        seconds = max(1.0, time.monotonic() - begun)
        self.assertLess(len(self.program.log_text().splitlines()) - lines, LOG_LINES_PER_S * seconds)
        self.assert_recovers()
        print(f'     slowest scrape {slowest[0] * 1000:.0f} ms, {resident_bytes(self.program.process.pid) >> 10} KiB')

    def scrape(self, stop, errors, slowest):
        while not stop.wait(0.1) and not errors:
            try:
                self.scrape_once(slowest)
            except BaseException as error:  # pylint: disable=broad-except
                errors.append(repr(error))

    def scrape_once(self, slowest):
        begun = time.monotonic()
        answer = web.request(self.b, exporter.PORT, '/metrics', timeout=patience(5))
        took = time.monotonic() - begun
        slowest[0] = max(slowest[0], took)
        self.assertEqual(self.truth.lies_of(expo.check(answer.body)), '')
        self.assertLess(took, patience(SCRAPE_S))
        self.assertLess(resident_bytes(self.program.process.pid), MEMORY_MAX)

    def slow(self, *mode):
        """slowhttptest ends by itself; its verdict on the service is that of the attacker's own address."""
        url = f'http://{self.b.address[4]}:{exporter.PORT}/metrics'
        argv = ('slowhttptest', *mode, '-c', '1000', '-r', '500', '-i', '2', '-l', SECONDS, '-u', url, '-p', '1')
        with self.harmless():
            done = subprocess.run(self.a.argv(*argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=SECONDS + 60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_slow_headers(self):
        self.slow('-H')

    def test_slow_body(self):
        self.slow('-B')

    def test_slow_read(self):
        self.slow('-X', '-w', '10', '-y', '20', '-n', '1', '-z', '32', '-k', '3')

    def test_idle_connections(self):
        """10,000 connections that say nothing; most are refused, and the rest are closed by and by."""
        wanted = 10000
        self.allow_descriptors(wanted + 1000)
        with self.harmless(), contextlib.ExitStack() as stack, self.a.entered():
            for _ in range(wanted):
                client = stack.enter_context(self.make_socket())
                with contextlib.suppress(BlockingIOError):
                    client.connect((self.b.address[4], exporter.PORT))
            eventually(lambda: not ss.count(self.b, state='SYN-RECV'), timeout=patience(20))
            time.sleep(1)
            self.assertLess(ss.count(self.b, state='ESTAB', local_port=exporter.PORT), 100)

    def make_socket(self):
        client = socket.socket()
        client.setblocking(False)
        return client

    def allow_descriptors(self, wanted):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < wanted:
            self.fail(f'{hard} descriptors are not enough')
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def test_malformed_requests(self):
        with self.harmless():
            done = subprocess.run(self.a.argv(sys.executable, '-B', RAW, f'{self.b.address[4]}:{exporter.PORT}'),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=170, check=False)
        last = done.stdout.splitlines()[-1:]
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])
        self.assertGreaterEqual(int(last[0].split()[0]), 60)

    def test_scrape_storm(self):
        """Eight threads of the peer ask for all pages as fast as they can."""
        end = time.monotonic() + SECONDS
        counts = []

        def storm(path):
            count = 0
            while time.monotonic() < end:
                with contextlib.suppress(*NO_ANSWER):
                    web.request(self.a, exporter.PORT, path, address=self.b.address[4], timeout=5)
                    count += 1
            counts.append(count)

        threads = [threading.Thread(target=storm, args=(path,), daemon=True)
                   for path in ('/metrics', '/', '/api/v1/ports', '/api/v1/connections', '/nothing') * 2]
        with self.harmless():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(SECONDS + 30)
        self.assertGreater(sum(counts), 100)
