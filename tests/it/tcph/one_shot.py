"""Runs as a child process: a one-shot server, like `nc -l -p PORT` under systemd.

It listens, accepts one connection and closes its listener. Its standard input (/dev/null) is at its end, so it
half-closes the connection. Then it keeps running until it is killed.

    one_shot.py ADDRESS PORT
"""
import contextlib
import signal
import socket
import sys


def main():
    address, port = sys.argv[1], int(sys.argv[2])
    with socket.create_server((address, port), family=socket.AF_INET6 if ':' in address else socket.AF_INET) as listener:
        print('listening', flush=True)
        connection, _ = listener.accept()
    if not sys.stdin.read(1):
        connection.shutdown(socket.SHUT_WR)
    with contextlib.suppress(ConnectionError):
        while connection.recv(4096):
            pass
    signal.pause()


if __name__ == '__main__':
    main()
