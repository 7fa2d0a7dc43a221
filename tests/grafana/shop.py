"""A port with every fault at once, as two programs.

    shop.py shop ADDRESS PORT                serves, but accepts no one for the last 2 of every 10 seconds
    shop.py customers ADDRESS PORT ELSEWHERE customers of all kinds; ELSEWHERE has no listener. A line on standard input
                                             makes the customers at LOST_PORTS vanish

Each connection has a thread, which ends with the program.
"""
import contextlib
import select
import socket
import struct
import sys
import threading
import time

RESET_ON_CLOSE = struct.pack('ii', 1, 0)
#: From here come those whose segments the test loses: one that is silent, and one that is sent to.
LOST_PORTS = (40001, 40002)
GOODS = bytes(20000)
BUY, WATCH, LEAVE, BORE = b'b', b'w', b'l', b'x'
FOR_EVER = 3600


def start(function, *args):
    threading.Thread(target=function, args=args, daemon=True).start()


# The shop

def watch(customer):
    while True:
        customer.sendall(b'news')
        time.sleep(0.2)


#: What a customer may say, and what the shop does then.
WISHES = {
    BUY: lambda customer: customer.sendall(GOODS),
    WATCH: watch,
    LEAVE: lambda customer: customer.shutdown(socket.SHUT_WR),
    BORE: lambda customer: time.sleep(FOR_EVER),
}


def serve(customer):
    """Until the customer ends, or is gone in the middle."""
    with customer, contextlib.suppress(OSError):
        for wish in iter(lambda: customer.recv(1), b''):
            WISHES[wish](customer)


def shop(address, port):
    with socket.create_server((address, int(port)), backlog=4) as listener:
        for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 127)):
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        print('listening', flush=True)
        while True:
            if time.time() % 10 < 8 and select.select([listener], [], [], 0.1)[0]:
                start(serve, listener.accept()[0])


# The customers

class Customers:
    def __init__(self, address, port, elsewhere):
        self.shop = (address, int(port))
        self.elsewhere = (elsewhere, int(port))
        self.kept = []

    def enter(self, said=b'', port=0):
        customer = socket.create_connection(self.shop, timeout=10, source_address=('', port))
        customer.sendall(said)
        return customer

    def keep(self, said, port=0):
        self.kept.append(self.enter(said, port))
        return self.kept[-1]

    def buy(self, purchases, pause):
        """As many purchases on each connection."""
        while True:
            try:
                with self.enter() as customer:
                    for _ in range(purchases):
                        customer.sendall(BUY)
                        customer.recv(len(GOODS), socket.MSG_WAITALL)
                        time.sleep(pause)
            except OSError:
                time.sleep(pause)

    def never_close(self, most):
        """The shop ends its half of the connections, which is read here, and that is all."""
        for _ in range(most):
            self.keep(LEAVE).recv(1)
            time.sleep(4)

    def go_elsewhere(self):
        while True:
            with socket.socket() as client:
                client.setblocking(False)
                client.connect_ex(self.elsewhere)
                select.select([], [client], [], 1)
            time.sleep(0.5)

    def run(self):
        """Those who are lost come first, so that the rest can go on as long as it likes."""
        lost = [self.enter(said, port) for said, port in zip((b'', WATCH), LOST_PORTS)]
        self.keep(BORE + bytes(5000))
        for task, *args in ((self.buy, 3, 0.1), (self.buy, 3, 0.15), (self.buy, 1000, 0.3), (self.go_elsewhere,),
                            (self.never_close, 10)):
            start(task, *args)
        print('inside', flush=True)
        sys.stdin.readline()
        for customer in lost:
            customer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            customer.close()
        print('vanished', flush=True)
        self.rush()

    def rush(self):
        """A crowd a tenth of a second after the shop stopped to accept."""
        while True:
            time.sleep((8.1 - time.time()) % 10)
            crowd = [socket.socket() for _ in range(8)]
            for client in crowd:
                client.setblocking(False)
                client.connect_ex(self.shop)
            time.sleep(4)
            for client in crowd:
                client.close()


def main():
    role, *rest = sys.argv[1:]
    if role == 'shop':
        shop(*rest)
    else:
        Customers(*rest).run()


if __name__ == '__main__':
    main()
