"""The programs of the incident, as child processes.

    actors.py feed ADDRESS PORT     accepts every connection, keeps it, and probes its peer every second
    actors.py opener ADDRESS        opens connections, reads what comes and never closes them; commands on standard input:
                                    "open PORT", "vanish PORT" (drops its connections there without a segment that
                                    arrives), "retry PORT" (tries to connect, three times a second)
"""
import select
import socket
import struct
import sys

RESET_ON_CLOSE = struct.pack('ii', 1, 0)
PAUSE = 0.33


def feed(address, port):
    with socket.create_server((address, int(port))) as listener:
        for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 127)):
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        print('listening', flush=True)
        taken = []
        while True:
            taken.append(listener.accept()[0])


class Opener:
    """Holds what it opened."""

    def __init__(self, address):
        self.address = address
        self.held = {}
        self.ended = set()
        self.retried = []

    def open(self, port):
        self.held.setdefault(port, []).append(socket.create_connection((self.address, port), timeout=5))

    def vanish(self, port):
        for connection in self.held.pop(port):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            connection.close()

    def retry(self, port):
        self.retried.append(port)

    def obey(self, line):
        command, port = line.split()
        {'open': self.open, 'vanish': self.vanish, 'retry': self.retry}[command](int(port))
        print('done', flush=True)

    def try_again(self):
        """As an event loop does it: begin, then see what became of it."""
        for port in self.retried:
            with socket.socket() as client:
                client.setblocking(False)
                client.connect_ex((self.address, port))
                select.select([], [client], [], 1)

    def read(self, connections):
        """Up to the end of the stream, and does not close: what the night is about."""
        self.ended.update(connection for connection in connections if not connection.recv(4096))

    def run(self):
        while True:
            open_ends = [end for held in self.held.values() for end in held if end not in self.ended]
            ready, _, _ = select.select([sys.stdin, *open_ends], [], [], PAUSE)
            line = sys.stdin.readline() if sys.stdin in ready else None
            self.read([end for end in ready if end is not sys.stdin])
            if line == '':
                return
            if line:
                self.obey(line)
            else:
                self.try_again()


def main():
    role, *rest = sys.argv[1:]
    if role == 'feed':
        feed(*rest)
    else:
        Opener(*rest).run()


main()
