"""Runs as a child process: a service with a leak: it accepts every connection, reads it to its end and closes none.

    leak.py ADDRESS PORT [--comm NAME] [--activate CGROUP] [--inherit]

Once it listens, it prints the pid of the process that accepts. With --activate, that is a child in its own cgroup that
inherits the listener, as from a systemd socket unit; the parent keeps the listener too. With --inherit, a child also
holds the first connection, and its pid is the second line.
"""
import argparse
import contextlib
import ctypes
import os
import signal
import socket
import threading

PR_SET_PDEATHSIG = 1


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument('address')
    parser.add_argument('port', type=int)
    parser.add_argument('--comm', default='leak')
    parser.add_argument('--activate')
    parser.add_argument('--inherit', action='store_true')
    return parser.parse_args()


def write(path, text):
    with open(path, 'wb') as file:
        file.write(os.fsencode(text))


def fork():
    """A child that does not outlive its parent."""
    child = os.fork()
    if not child:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return child


def activate(cgroup):
    """Goes on in a child that belongs to the cgroup."""
    if fork():
        signal.pause()
    write(os.path.join(cgroup, 'cgroup.procs'), str(os.getpid()))


def bequeath(listener):
    """A connection that a child inherits."""
    connection, _ = listener.accept()
    child = fork()
    if not child:
        listener.close()
        drain(connection)
        signal.pause()
    print(child, flush=True)
    return connection


def drain(connection):
    """Reads to the end of the stream, in a thread of its own."""
    def run():
        with contextlib.suppress(OSError):
            while connection.recv(4096):
                pass

    threading.Thread(target=run, daemon=True).start()
    return connection


def main():
    args = parse()
    family = socket.AF_INET6 if ':' in args.address else socket.AF_INET
    listener = socket.create_server((args.address, args.port), family=family)
    if args.activate:
        activate(args.activate)
    write('/proc/self/comm', args.comm)
    print(os.getpid(), flush=True)
    taken = [bequeath(listener)] if args.inherit else []
    while True:
        taken.append(drain(listener.accept()[0]))


main()
