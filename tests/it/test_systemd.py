"""What the exporter tells the service manager, and the sockets it gets from it."""
import contextlib
import ctypes
import os
import signal
import socket
import tempfile
import time

from tcph import exporter, netns, web
from tcph.case import NetTest
from tcph.poll import eventually

PTRACE_ATTACH, PTRACE_DETACH, WALL = 16, 17, 0x40000000


class Manager:
    """The receiving end of a NOTIFY_SOCKET."""

    def __init__(self, host, name):
        self.name = name
        self.messages = []  # dictionaries of the assignments of a datagram
        with host.entered():  # abstract names belong to a network namespace
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind('\0' + name[1:] if name[0] == '@' else name)
        self._socket.setblocking(False)

    def close(self):
        self._socket.close()

    def receive(self):
        try:
            while True:
                lines = self._socket.recv(4096).decode().splitlines()
                self.messages.append(dict(line.split('=', 1) for line in lines))
        except BlockingIOError:
            return self.messages

    def wait_for(self, **assignments):
        """Waits for a message with these; returns it, and forgets all up to it."""
        def find():
            for position, message in enumerate(self.receive()):
                if assignments.items() <= message.items():
                    del self.messages[:position + 1]
                    return message
            return None

        return eventually(find, timeout=exporter.patience(10), what=lambda: f'{assignments}, only {self.messages}')


class SystemdTest(NetTest):
    def setUp(self):
        super().setUp()
        self.directory = self.enterContext(tempfile.TemporaryDirectory())

    def manager(self, name=None):
        manager = Manager(self.b, name or os.path.join(self.directory, 'notify'))
        self.addCleanup(manager.close)
        return manager

    def start(self, *args, environment=None, shell='exec "$@"', pass_fds=()):
        """The exporter on self.b, started by a shell that arranges descriptors; its log in self.log."""
        self.log = self.enterContext(tempfile.TemporaryFile())
        argv = [exporter.PROGRAM, '--collector.interval=100ms', *args]
        process = self.b.popen('bash', '-c', shell, 'bash', *argv, stdout=self.log, stderr=self.log, pass_fds=pass_fds,
                               env={**exporter.environment(), **(environment or {})})
        self.addCleanup(netns.kill, process)
        return process

    def log_text(self):
        self.log.seek(0)
        return self.log.read().decode()

    def end(self, process):
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(exporter.patience(2)), 0, self.log_text())

    def test_ready_reloading_and_stopping(self):
        for name in (None, f'@tcph-{os.getpid()}'):
            with self.subTest(socket=name):
                manager = self.manager(name)
                process = self.start('--web.listen-address=127.0.0.1:10793', environment={'NOTIFY_SOCKET': manager.name})
                self.assertIn('STATUS', manager.wait_for(READY='1'))
                # Not before a scrape would be answered.
                self.assertEqual(web.request(self.b, 10793, '/metrics').status, 200)
                before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                process.send_signal(signal.SIGHUP)
                reloading = manager.wait_for(RELOADING='1')
                self.assertGreaterEqual(int(reloading['MONOTONIC_USEC']), before)
                manager.wait_for(READY='1')
                self.end(process)
                manager.wait_for(STOPPING='1')
                self.assertEqual([message for message in manager.messages if 'WATCHDOG' in message], [])

    def test_a_failed_reload_is_told(self):
        path = os.path.join(self.directory, 'web.yml')
        with open(path, 'w', encoding='utf-8') as file:
            file.write('http_server_config:\n')
        manager = self.manager()
        process = self.start('--web.listen-address=127.0.0.1:0', f'--web.config.file={path}',
                             environment={'NOTIFY_SOCKET': manager.name})
        manager.wait_for(READY='1')
        with open(path, 'w', encoding='utf-8') as file:
            file.write('nonsense: 1\n')
        process.send_signal(signal.SIGHUP)
        manager.wait_for(RELOADING='1')
        self.assertIn('old web configuration', manager.wait_for(READY='1')['STATUS'])
        self.end(process)

    def test_watchdog(self):
        manager = self.manager()
        process = self.start('--web.listen-address=127.0.0.1:0',
                             environment={'NOTIFY_SOCKET': manager.name, 'WATCHDOG_USEC': '2000000'})
        manager.wait_for(READY='1')
        for _ in range(3):
            begun = time.monotonic()
            manager.wait_for(WATCHDOG='1')
            self.assertLess(time.monotonic() - begun, exporter.patience(2))
        process.send_signal(signal.SIGSTOP)
        manager.receive().clear()
        time.sleep(1.5)
        self.assertEqual(manager.receive(), [])
        process.send_signal(signal.SIGCONT)
        manager.wait_for(WATCHDOG='1')
        self.end(process)

    def test_watchdog_covers_accepting_and_sampling(self):
        """Each is stopped by a debugger for a while: nobody tells the service manager that all is well."""
        manager = self.manager()
        process = self.start('--web.listen-address=127.0.0.1:0',
                             environment={'NOTIFY_SOCKET': manager.name, 'WATCHDOG_USEC': '1000000'})
        manager.wait_for(READY='1')
        for name, word in (('http-accept', 'accepting'), ('tcphealth-dump', 'sampling')):
            with self.subTest(thread=name):
                manager.wait_for(WATCHDOG='1')
                with self.stopped(process.pid, name):
                    eventually(lambda word=word: f'thread={word}' in self.log_text(), timeout=exporter.patience(5))
                    manager.receive().clear()
                    time.sleep(1.5)
                    self.assertEqual(manager.receive(), [])
                manager.wait_for(WATCHDOG='1')
        self.end(process)

    @contextlib.contextmanager
    def stopped(self, pid, name):
        (task,) = [task for task in os.listdir(f'/proc/{pid}/task') if self.name_of(pid, task) == name]
        libc = ctypes.CDLL(None, use_errno=True)
        self.assertEqual(libc.ptrace(PTRACE_ATTACH, int(task), None, None), 0, os.strerror(ctypes.get_errno()))
        os.waitpid(int(task), WALL)
        try:
            yield
        finally:
            libc.ptrace(PTRACE_DETACH, int(task), None, None)

    @staticmethod
    def name_of(pid, task):
        with open(f'/proc/{pid}/task/{task}/comm', encoding='ascii') as file:
            return file.read().strip()

    def test_watchdog_of_another_process_is_not_ours(self):
        manager = self.manager()
        process = self.start('--web.listen-address=127.0.0.1:0', environment={
            'NOTIFY_SOCKET': manager.name, 'WATCHDOG_USEC': '100000', 'WATCHDOG_PID': '1'})
        manager.wait_for(READY='1')
        self.end(process)
        manager.wait_for(STOPPING='1')
        self.assertFalse([message for message in manager.messages if 'WATCHDOG' in message])

    def test_a_manager_that_is_gone_does_not_matter(self):
        process = self.start('--web.listen-address=127.0.0.1:10793',
                             environment={'NOTIFY_SOCKET': os.path.join(self.directory, 'nobody')})
        eventually(lambda: 'msg=listening' in self.log_text(), timeout=exporter.patience(10), what=self.log_text)
        self.assertEqual(web.request(self.b, 10793, '/-/healthy').status, 200)
        self.end(process)

    # Sockets.

    def listener(self):
        listener = self.b.socket(4)
        self.addCleanup(listener.close)
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        return listener

    def handing_over(self, *sockets, count=None, pid='$$'):
        """A shell line that puts the sockets where systemd puts them, and execs."""
        moves = ''.join(f'exec {3 + i}<&{40 + i} {40 + i}<&-; ' for i in range(len(sockets)))
        high = ''.join(f'exec {40 + i}<&{s.fileno()}; ' for i, s in enumerate(sockets))
        return f'{high}{moves}LISTEN_FDS={count or len(sockets)} LISTEN_PID={pid} LISTEN_FDNAMES=a exec "$@"'

    def test_sockets_are_taken_over(self):
        sockets = [self.listener(), self.listener()]
        process = self.start('--web.systemd-socket', shell=self.handing_over(*sockets),
                             pass_fds=[s.fileno() for s in sockets])
        ports = [s.getsockname()[1] for s in sockets]
        eventually(lambda: self.log_text().count('msg=listening') == 2, timeout=exporter.patience(10), what=self.log_text)
        for port in ports:
            self.assertIn(f'port={port}', self.log_text())
            self.assertEqual(web.request(self.b, port, '/-/healthy').status, 200)
        with self.assertRaises(ConnectionRefusedError):
            web.request(self.b, 10793, '/-/healthy')
        self.end(process)

    def test_who_connects_before_the_start_is_served(self):
        listener = self.listener()
        early = self.b.socket(4)
        self.addCleanup(early.close)
        early.connect(listener.getsockname())
        early.sendall(b'GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
        process = self.start('--web.systemd-socket', shell=self.handing_over(listener), pass_fds=[listener.fileno()])
        early.settimeout(exporter.patience(10))
        self.assertIn(b'200 OK', early.recv(4096))
        self.end(process)

    def test_what_cannot_be_used_ends_the_start(self):
        listener, unbound, datagrams = self.listener(), self.b.socket(4), self.b.socket(4, socket.SOCK_DGRAM)
        self.addCleanup(unbound.close)
        self.addCleanup(datagrams.close)
        datagrams.bind(('127.0.0.1', 0))
        cases = (
            (self.handing_over(listener, pid='1'), [listener], 'the service manager passed no'),
            (self.handing_over(unbound), [unbound], 'not a TCP listener'),
            (self.handing_over(datagrams), [datagrams], 'not a TCP listener'),
            (self.handing_over(listener, count=2), [listener], 'not a TCP listener'),
            (self.handing_over(listener, count=99), [listener], 'the service manager passed no'),
            ('exec "$@"', [], 'the service manager passed no'),
        )
        for shell, sockets, want in cases:
            with self.subTest(shell=shell):
                process = self.start('--web.systemd-socket', shell=shell, pass_fds=[s.fileno() for s in sockets])
                self.assertEqual(process.wait(exporter.patience(10)), 1, self.log_text())
                self.assertIn(want, self.log_text())
