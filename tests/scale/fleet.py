"""Hundreds of hosts: the pages of a real exporter, served under an address for each host."""
import contextlib
import http.server
import socket
import threading

from tcph import expo, exporter, netns

PORT = 10793
REFRESH = 1.0


def address(number):
    """Each host has an address of its own on loopback."""
    return f'127.1.{number // 250}.{number % 250 + 1}'


def kind_of(number):
    """One host of ten is of the second kind."""
    return int(number % 10 == 0)


class Host:
    """A namespace with an exporter and connections over loopback: `ports` ports, each on both sides, `stuck` of them
    with connections in CLOSE_WAIT."""

    def __init__(self, ports, stuck):
        with contextlib.ExitStack() as stack:
            self.netns = stack.enter_context(netns.Netns('s'))
            self.exporter = stack.enter_context(exporter.Exporter(self.netns, '--stale.close-wait=1s', '--no-log.stale',
                                                                  '--collector.interval=1s'))
            self._stack = stack
            for number in range(ports):
                self._connect(8000 + number, number < stuck)
            self._stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _connect(self, port, stuck):
        listener = self._stack.enter_context(self.netns.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(('127.0.0.1', port))
        listener.listen(16)
        for _ in range(6):
            client = self._stack.enter_context(self.netns.socket())
            client.settimeout(5)
            client.connect(('127.0.0.1', port))
            server = self._stack.enter_context(listener.accept()[0])
            if stuck:
                client.shutdown(socket.SHUT_WR)
                server.settimeout(5)
                server.recv(1)


class Fleet(http.server.ThreadingHTTPServer):
    """Answers at address(n) with the page of hosts[kind_of(n)], never older than REFRESH seconds."""
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, home, hosts):
        super().__init__(('0.0.0.0', PORT), self._handler(), bind_and_activate=False)
        self.socket.close()
        self.socket = home.socket()
        self.server_bind()
        self.server_activate()
        self.hosts = hosts
        self.pages = [host.exporter.request('/metrics').body for host in hosts]
        self._end = threading.Event()
        self._helpers = [threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True),
                         threading.Thread(target=self._refresh, daemon=True)]
        for thread in self._helpers:
            thread.start()

    def __exit__(self, *_):
        self._end.set()
        self.shutdown()
        for thread in self._helpers:
            thread.join()
        self.server_close()

    def _refresh(self):
        while not self._end.wait(REFRESH):
            self.pages = [host.exporter.request('/metrics').body for host in self.hosts]

    def handle_error(self, request, client_address):
        """Whoever scrapes may go at any time."""

    def page_of(self, local_address):
        _, _, high, low = map(int, local_address.split('.'))
        return self.pages[kind_of(high * 250 + low - 1)]

    def _handler(self):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            timeout = 60

            def do_GET(self):
                body = server.page_of(self.connection.getsockname()[0])
                self.send_response(200)
                self.send_header('Content-Type', exporter.CONTENT_TYPE[expo.TEXT])
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler
