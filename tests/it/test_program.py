"""The program as a process: flags, addresses, signals, files, logs, privileges, and a kernel that hangs."""
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time

from tcph import expo, exporter, netns, prom, scenes, web
from tcph.case import NetTest
from tcph.poll import eventually

HOLD_LOCK = os.path.join(exporter.BUILD, 'tests', 'hold_lock')
NOBODY = ('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', '--ambient-caps=-all',
          '--bounding-set=-all', '--no-new-privs')


class Through:
    """A host whose programs are started by another one: `setpriv ... PROGRAM`."""

    def __init__(self, host, *launcher):
        self.host = host
        self.launcher = launcher

    def __getattr__(self, name):
        return getattr(self.host, name)

    def argv(self, *argv):
        return self.host.argv(*self.launcher, *argv)

    def popen(self, *argv, **options):
        return self.host.popen(*self.launcher, *argv, **options)


class FlagsTest(NetTest):
    #: Flags; what the one line must say: the flag, the value, and what is allowed.
    BAD = (
        (('--collector.interval=soon',), ('--collector.interval', 'soon', '100ms', '1h')),
        (('--collector.interval', '99ms'), ('--collector.interval', '99ms', '100ms')),
        (('--collector.interval=2h',), ('--collector.interval', '2h', '1h')),
        (('--collector.source=kernel',), ('--collector.source', 'kernel', 'auto', 'netlink', 'procfs')),
        (('--ports.include=0',), ('--ports.include', '0', '65535')),
        (('--ports.include=22,99999',), ('--ports.include', '99999', '65535')),
        (('--ports.exclude=9-8',), ('--ports.exclude', '9-8')),
        (('--ports.max=0',), ('--ports.max', '0', '1 to 65536')),
        (('--ports.keep=5',), ('--ports.keep', '5')),
        (('--stale.keepalive-probes=256',), ('--stale.keepalive-probes', '256', '255')),
        (('--stale.idle=-1s',), ('--stale.idle', '-1s')),
        (('--web.listen-address=localhost',), ('--web.listen-address', 'localhost')),
        (('--web.listen-address=127.0.0.1:65536',), ('--web.listen-address', '127.0.0.1:65536', '65535')),
        (('--web.telemetry-path=metrics',), ('--web.telemetry-path', 'metrics')),
        (('--web.max-requests=many',), ('--web.max-requests', 'many', '10000')),
        (('--log.level=loud',), ('--log.level', 'loud', 'debug', 'error')),
        (('--log.format=xml',), ('--log.format', 'xml', 'logfmt', 'json')),
        (('--log.level',), ('--log.level',)),
        (('--no-log.level',), ('log.level',)),
        (('--no-log.stale=yes',), ('log.stale',)),
        (('--no.such-flag',), ('--no.such-flag',)),
        (('surplus',), ('surplus',)),
    )

    def test_bad_values_end_the_program_with_one_line(self):
        for args, words in self.BAD:
            with self.subTest(args=args):
                done = exporter.run(self.b, *args)
                said = done.stderr.decode()
                self.assertEqual((done.returncode, done.stdout, said.count('\n')), (2, b'', 1), said)
                for word in words:
                    self.assertIn(word, said)

    def test_help_and_version(self):
        for flag, word in (('--help', b'--collector.interval'), ('-h', b'--once'), ('--version', b'tcphealth')):
            with self.subTest(flag=flag):
                done = exporter.run(self.b, flag)
                self.assertEqual((done.returncode, done.stderr), (0, b''))
                self.assertIn(word, done.stdout)


class AddressesTest(NetTest):
    def test_port_that_is_taken(self):
        with self.b.socket() as listener:
            listener.bind(('127.0.0.1', 10900))
            listener.listen(1)
            done = exporter.run(self.b, '--web.listen-address=127.0.0.1:10900')
        self.assertEqual(done.returncode, 1)
        errors = [line for line in done.stderr.decode().splitlines() if 'level=error' in line]
        self.assertEqual(len(errors), 1, done.stderr)
        self.assertIn('127.0.0.1:10900', errors[0])
        self.assertRegex(errors[0].lower(), 'address already in use')

    def test_address_of_somebody_else(self):
        done = exporter.run(self.b, '--web.listen-address=192.0.2.1:10900')
        self.assertEqual(done.returncode, 1)
        self.assertIn(b'192.0.2.1:10900', done.stderr)

    def test_several_addresses(self):
        self.start_exporter(self.b, '--web.listen-address=127.0.0.1:10793', '--web.listen-address=[::1]:10793',
                            f'--web.listen-address={self.b.address[4]}:10801', '--web.listen-address', '[::]:10802',
                            '--web.listen-address=:10803')
        for host, address, port in ((self.b, '127.0.0.1', 10793), (self.b, '::1', 10793),
                                    (self.b, self.b.address[4], 10801), (self.a, self.b.address[4], 10801),
                                    (self.a, self.b.address[6], 10802), (self.b, '::1', 10802),
                                    (self.a, self.b.address[4], 10803), (self.a, self.b.address[6], 10803),
                                    (self.b, '127.0.0.1', 10803)):
            with self.subTest(address=address, port=port):
                self.assertEqual(web.request(host, port, '/-/healthy', address=address).status, 200)
        for address, port in (('::1', 10801), ('127.0.0.1', 10801)):
            with self.subTest(address=address, port=port), self.assertRaises(ConnectionRefusedError):
                web.request(self.b, port, '/-/healthy', address=address)

    def test_free_port_is_told(self):
        program = self.start_exporter(self.b, '--web.listen-address=127.0.0.1:0', '--web.listen-address=[::1]:0',
                                      ready=False)
        def ports():
            found = re.findall(r'msg=listening .*port=(\d+)', program.log_text())
            return found if len(found) == 2 else None

        found = eventually(ports, timeout=exporter.patience(5), what='the ports')
        for port, address in zip(found, ('127.0.0.1', '::1')):
            self.assertEqual(web.request(self.b, int(port), '/-/healthy', address=address).status, 200)

    def test_methods_and_paths(self):
        program = self.start_exporter(self.b)
        head = program.request('/metrics', method='HEAD')
        self.assertEqual((head.status, head.body), (200, b''))
        self.assertGreater(int(head.headers['Content-Length']), 1000)
        for path in ('/metrics/', '/metric', '/-/', '/-/reload', '/api/v1/', '/favicon.png'):
            self.assertEqual(program.request(path).status, 404, path)
        for method in ('POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'):
            for path in ('/metrics', '/-/healthy', '/'):
                answer = program.request(path, method=method)
                self.assertEqual(answer.status, 405, (method, path))
                self.assertIn('GET', answer.headers['Allow'])
        self.assertEqual(program.request('/').status, 200)

    def test_other_path_of_the_metrics(self):
        program = self.start_exporter(self.b, '--web.telemetry-path=/tcp')
        self.assertEqual(program.request('/metrics').status, 404)
        self.assertEqual(program.page(path='/tcp').value('tcphealth_sample_success'), 1)


class SignalsTest(NetTest):
    def test_ends_within_a_second(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                program = self.start_exporter(self.b)
                with contextlib.ExitStack() as stack:
                    # Neither an idle client nor one that is half-way through a request delays it.
                    for words in (b'', b'GET /metrics HTTP/1.1\r\nHost:'):
                        client = stack.enter_context(self.b.socket())
                        client.connect(('127.0.0.1', program.port))
                        client.sendall(words)
                    self.assertLess(program.stop(number), exporter.patience(1))

    def test_hangup_and_a_client_that_is_gone_do_not_end_it(self):
        program = self.start_exporter(self.b)
        for number in (signal.SIGHUP, signal.SIGPIPE):
            program.process.send_signal(number)
        for _ in range(20):
            with self.b.socket() as client:
                client.connect(('127.0.0.1', program.port))
                client.sendall(b'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n' * 20)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
        # As long as they are not all through, this address may have its share of connections.
        eventually(lambda: self.is_served(program), timeout=exporter.patience(10), what=program.log_tail)
        self.assertEqual(program.fresh_page().value('tcphealth_sample_success'), 1)

    def is_served(self, program):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return program.request('/-/healthy').status == 200
        return False

    def test_as_process_1(self):
        """In a container nothing stands between the signal and the program; process 1 has no default actions."""
        host = Through(self.b, 'unshare', '--pid', '--fork', '--mount-proc')
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                program = self.start_exporter(host)
                with open(f'/proc/{program.process.pid}/task/{program.process.pid}/children', encoding='ascii') as file:
                    child = int(file.read())
                with open(f'/proc/{child}/status', encoding='ascii') as file:
                    self.assertRegex(file.read(), r'(?m)^NSpid:\t\d+\t1$')
                self.assertEqual(program.page().value('tcphealth_sample_success'), 1)
                begun = time.monotonic()
                os.kill(child, number)
                self.assertEqual(program.process.wait(exporter.patience(5)), 0)
                self.assertLess(time.monotonic() - begun, exporter.patience(1))


class OnceTest(NetTest):
    def test_file_is_replaced_as_a_whole(self):
        """Whoever reads the file meanwhile finds a page, old or new."""
        self.scene(scenes.close_wait)
        directory = self.enterContext(tempfile.TemporaryDirectory(prefix='tcph-once-'))
        path = os.path.join(directory, 'tcphealth.prom')
        stop, reads, bad = threading.Event(), [], []

        def read():
            while not stop.is_set():
                try:
                    with open(path, 'rb') as file:
                        page = expo.parse(file.read(), expo.TEXT)
                except FileNotFoundError:
                    continue
                reads.append(page.value('tcphealth_sample_success'))
                bad.extend(page.problems)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for _ in range(20):
                done = exporter.run(self.b, '--once', '--output=' + path)
                self.assertEqual((done.returncode, done.stdout), (0, b''), done.stderr)
        finally:
            stop.set()
            reader.join()
        self.assertEqual((set(reads), bad), ({1.0}, []))
        self.assertEqual(os.listdir(directory), ['tcphealth.prom'])
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o644)

    def test_file_that_cannot_be_written(self):
        directory = self.enterContext(tempfile.TemporaryDirectory(prefix='tcph-once-'))
        target = os.path.join(directory, 'file')
        os.mkdir(target)
        for path in (os.path.join(directory, 'absent', 'file'), target):
            with self.subTest(path=path):
                done = exporter.run(self.b, '--once', '--output=' + path)
                self.assertEqual((done.returncode, done.stdout), (1, b''))
                self.assertIn(path.encode(), done.stderr)
        self.assertEqual(os.listdir(directory), ['file'])

    def test_page_for_the_textfile_collector(self):
        """No counter but the kernel's own: each run begins anew, and a counter that restarts each time is none."""
        self.scene(scenes.close_wait)
        done = exporter.run(self.b, '--once')
        page = expo.check(done.stdout, expo.TEXT)
        totals = {name for name, _ in page.samples if name.endswith('_total')}
        self.assertTrue(totals)
        self.assertEqual({name for name in totals if not name.startswith('tcphealth_kernel_')}, set())
        self.assertEqual({name for name, _ in page.samples if name.startswith('process_')}, set())
        self.assertEqual(prom.check_metrics(done.stdout), '')
        full = os.open('/dev/full', os.O_WRONLY)
        self.addCleanup(os.close, full)
        done = subprocess.run(self.b.argv(exporter.PROGRAM, '--once'), stdout=full, stderr=subprocess.PIPE,
                              env=exporter.environment(), timeout=20, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b'No space left', done.stderr)


class LogTest(NetTest):
    def test_both_forms(self):
        for form in ('logfmt', 'json'):
            with self.subTest(form=form):
                program = self.start_exporter(self.b, '--log.format=' + form, '--stale.close-wait=0')
                scene = self.scene(scenes.close_wait)
                program.wait_value(1, 'tcphealth_stale_connections', role='server', port=scene.port,
                                   reason='close_wait')
                program.stop()
                lines = program.log_text().splitlines()
                entries = [json.loads(line) for line in lines] if form == 'json' else program.log_entries()
                for entry in entries:
                    self.assertRegex(entry['ts'], r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}')
                    self.assertIn(entry['level'], ('info', 'warn'))
                    self.assertTrue(entry['msg'])
                stale = [entry for entry in entries if str(entry.get('port')) == str(scene.port)]
                self.assertEqual(len(stale), 1, lines)  # once, whatever the number of samples
                self.assertEqual((stale[0]['role'], stale[0]['reason']), ('server', 'close_wait'))

    def test_levels(self):
        program = self.start_exporter(self.b, '--log.level=error')
        program.stop()
        self.assertEqual(program.log_text(), '')

    def test_nobody_reads_it(self):
        """Neither accepting nor sampling nor the end waits for the log, whoever started the program and whatever it is."""
        for host in (self.b, Through(self.b, *NOBODY)):
            for make in (os.pipe, self.sockets):
                with self.subTest(host=type(host).__name__, make=make.__name__):
                    self.try_full(host, *make())

    @staticmethod
    def sockets():
        return [end.detach() for end in socket.socketpair()]

    @staticmethod
    def fill(writer):
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b'x' * 4096 if stat.S_ISFIFO(os.fstat(writer).st_mode) else b'x')
        os.set_blocking(writer, True)

    @staticmethod
    def drain(reader):
        os.set_blocking(reader, False)
        text = b''
        with contextlib.suppress(BlockingIOError):
            while True:
                text += os.read(reader, 1 << 20)
        return text.lstrip(b'x')

    def try_full(self, host, reader, writer):
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        self.fill(writer)
        process = host.popen(exporter.PROGRAM, f'--web.listen-address=127.0.0.1:{exporter.PORT}', stdin=subprocess.DEVNULL,
                             stderr=writer, env=exporter.environment())
        self.addCleanup(netns.kill, process)
        eventually(self.dropped, timeout=exporter.patience(10))
        self.assertTrue(os.get_blocking(writer))  # it is not the program's alone
        self.drain(reader)
        process.send_signal(signal.SIGHUP)
        lines = eventually(lambda: self.drain(reader).splitlines(), timeout=exporter.patience(5))
        self.assertRegex(lines[0], b'level=warn msg="log lines dropped.* count=[1-9]')
        self.assertIn(b'nothing to reload', lines[1])
        self.fill(writer)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(exporter.patience(3)), 0)

    def dropped(self):
        """How many lines, by a page; 0 without one."""
        with contextlib.suppress(OSError):
            answer = web.request(self.b, exporter.PORT, '/metrics')
            if answer.status == 200:
                return expo.check(answer.body).value('tcphealth_log_lines_dropped_total')
        return 0


class DescriptorTest(NetTest):
    """Whoever starts it may have closed its standard descriptors: no socket of it gets their numbers."""

    def closing(self, redirections):
        return Through(self.b, 'sh', '-c', f'exec "$@" {redirections}', 'sh')

    def test_closed_descriptors_are_opened(self):
        program = self.start_exporter(self.closing('<&- >&- 2>&-'))
        for number, mode in ((0, os.O_RDWR), (1, os.O_RDONLY), (2, os.O_RDWR)):
            self.assertEqual(os.readlink(f'/proc/{program.process.pid}/fd/{number}'), '/dev/null')
            with open(f'/proc/{program.process.pid}/fdinfo/{number}', encoding='ascii') as file:
                flags = int(re.search(r'(?m)^flags:\s*([0-7]+)$', file.read())[1], 8)
            self.assertEqual(flags & os.O_ACCMODE, mode, number)

    def test_open_ones_stay(self):
        program = self.start_exporter(self.closing('<&-'))
        self.assertEqual(os.readlink(f'/proc/{program.process.pid}/fd/0'), '/dev/null')
        self.assertIn('msg=listening', program.log_text())

    def test_a_page_that_nobody_can_get_is_an_error(self):
        done = exporter.run(self.closing('>&-'), '--once')
        self.assertEqual(done.returncode, 1)
        self.assertIn(b'writing failed', done.stderr)


    def test_too_few_are_named(self):
        """Whatever lacks one at the start: it is not memory, nor something that will come by itself."""
        failed = 0
        for few in range(5, 40):
            host = Through(self.b, 'prlimit', f'--nofile={few}')
            program = exporter.Exporter(host, ready=False)
            with contextlib.suppress(AssertionError):
                eventually(lambda program=program: program.process.poll() is not None or self.answers(), timeout=exporter.patience(5))
            status = program.process.poll()
            netns.kill(program.process)
            if status is None:
                break
            errors = [line for line in program.log_text().splitlines() if 'level=error' in line]
            self.assertIn('Too many open files', errors[-1] if errors else program.log_text())
            failed += 1
        self.assertGreater(failed, 3)

    def answers(self):
        with contextlib.suppress(OSError):
            return web.request(self.b, exporter.PORT, '/-/healthy').status == 200
        return False


class PrivilegeTest(NetTest):
    def test_as_nobody_without_any_capability(self):
        host = Through(self.b, *NOBODY)
        program = self.start_exporter(host, '--stale.close-wait=200ms', '--stale.unaccepted=200ms')
        with open(f'/proc/{program.process.pid}/status', encoding='ascii') as file:
            status = file.read()
        self.assertRegex(status, r'(?m)^Uid:\t65534\t65534\t65534\t65534$')
        self.assertRegex(status, r'(?m)^CapEff:\t0{16}$')
        for recipe, reason in ((scenes.close_wait, 'close_wait'), (scenes.unaccepted, 'unaccepted')):
            scene = self.scene(recipe)  # made by root: every user's sockets are seen
            program.wait_value(1, 'tcphealth_stale_connections', role='server', port=scene.port, reason=reason)
        page = program.fresh_page()
        self.assertEqual(page.value('tcphealth_sample_source', source='netlink'), 1)
        self.assertEqual(page.value('tcphealth_events_active'), 1)
        for name in ('tcphealth_kernel_sent_segments_total', 'tcphealth_sysctl_retries2', 'process_open_fds',
                     'process_resident_memory_bytes'):
            self.assertIsNotNone(page.value(name), name)
        # What root sees is no more.
        root = self.start_exporter(self.b, port=10794).fresh_page()
        self.assertEqual({name for name, _ in root.samples} - {name for name, _ in page.samples}, set())
        levels = {entry['level'] for entry in program.log_entries()}
        self.assertLessEqual(levels, {'info', 'warn'}, program.log_text())

    def test_once_as_nobody(self):
        scene = self.scene(scenes.close_wait)
        done = exporter.run(Through(self.b, *NOBODY), '--once')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(expo.check(done.stdout).value('tcphealth_connections', role='server', port=scene.port,
                                                       state='close_wait'), 1)


class HangTest(NetTest):
    """A program sleeps in a page fault with its socket's lock held: the dump waits for it, uninterruptibly."""
    INTERVAL = 0.3
    HANGING = 2.0  # what a dump may take, whatever the interval: HANG_MIN_MS of publisher.c

    @contextlib.contextmanager
    def held_lock(self):
        holder = self.b.popen(HOLD_LOCK, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            with holder.stdout, holder.stdin:
                self.assertRegex(holder.stdout.readline(), r'^\d+ ready$')
                yield holder
            self.assertEqual(holder.wait(10), 0)
        finally:
            netns.kill(holder)

    def start(self):
        return self.start_exporter(self.b, f'--collector.interval={int(self.INTERVAL * 1000)}ms')

    def wait_told(self, program):
        eventually(lambda: program.page().value('tcphealth_sample_success') == 0,
                   timeout=exporter.patience(self.HANGING + self.INTERVAL + 2), what='the failure on the page')

    def test_hanging_dump_is_told_and_served(self):
        scene = self.scene(scenes.close_wait)
        program = self.start()
        where = {'role': 'server', 'port': scene.port, 'state': 'close_wait'}
        program.wait_value(1, 'tcphealth_connections', **where)
        with self.held_lock():
            self.wait_told(program)
            eventually(lambda: program.request('/-/ready').status == 503, timeout=exporter.patience(5), what='503')
            self.assertIn(b'a sample has been running for', program.request('/-/ready').body)
            end = time.monotonic() + 1
            while time.monotonic() < end:  # and on it goes, at once and with the last data
                begun = time.monotonic()
                page = program.page()
                self.assertLess(time.monotonic() - begun, exporter.patience(0.5))
                self.assertEqual(page.value('tcphealth_sample_success'), 0)
                self.assertEqual(page.value('tcphealth_connections', **where), 1)
            self.assertEqual(program.request('/-/healthy').status, 200)
            self.assertGreater(page.value('tcphealth_sample_duration_seconds'), 1)
        program.wait_value(1, 'tcphealth_sample_success')
        self.assertEqual(program.request('/-/ready').status, 200)

    def test_ends_though_its_dump_hangs(self):
        """No signal reaches a thread in that sleep, but all that serves is gone, and the address is free."""
        program = self.start()
        pid = program.process.pid
        with self.held_lock():
            self.wait_told(program)
            self.assertIn('D', self.alive(pid))
            program.process.send_signal(signal.SIGTERM)
            begun = time.monotonic()
            eventually(lambda: self.alive(pid) <= {'D'}, timeout=exporter.patience(1), what=lambda: self.alive(pid))
            successor = self.start_exporter(self.b, ready=False)
            eventually(lambda: self.is_served(successor), timeout=exporter.patience(1), what='the successor')
            self.assertLess(time.monotonic() - begun, exporter.patience(2))
        self.assertEqual(program.process.wait(5), 0)
        self.assertIn('the kernel still holds the sampling thread', program.log_text())
        successor.wait_ready()

    def alive(self, pid):
        """The states of the threads that are left, without those that are dead."""
        states = set()
        for task in os.listdir(f'/proc/{pid}/task'):
            path = f'/proc/{pid}/task/{task}/stat'
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(path, encoding='ascii') as file:
                states.add(file.read().rsplit(')', 1)[1].split()[0])
        return states - {'Z', 'X'}

    def is_served(self, program):
        with contextlib.suppress(ConnectionRefusedError):
            return program.request('/-/healthy').status == 200
        return False
