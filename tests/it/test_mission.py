"""The incident of README.md, larger.

Host B runs 14 servers like `nc -l -p PORT` under systemd. Each accepts one connection and closes its listener. Its standard
input is /dev/null, so it half-closes at once. Host A opened the connections, and ten of its programs vanish without a
segment that reaches B. This leaves 4 connections in CLOSE_WAIT at A and 14 in FIN_WAIT2 at B, for ever.
"""
import contextlib
import socket

from tcph import exporter, expo, scenes, ss
from tcph.case import NetTest
from tcph.poll import eventually

SERVERS = 14
VANISH = 10
PORTS = range(4001, 4001 + SERVERS)
#: The exporter of the test itself is no part of the story.
OWN = {'10793', '10794'}


def pairs_with(page, state):
    """{(role, port): sockets} in that state."""
    return {(labels['role'], labels['port']): value
            for labels, value in page.series('tcphealth_connections', state=state) if value}


def series_ports(page):
    """Every port that is a label of anything. Failed connects have a port "unknown" from the start."""
    return {dict(labels)['port'] for _, labels in page.samples if 'port' in dict(labels)} - OWN - {'unknown'}


class MissionTest(NetTest):
    FLAGS = ('--stale.close-wait=300ms', '--stale.eof-unread=300ms', '--stale.fin-wait2=300ms', '--no-log.stale')

    def once(self, host, *args):
        done = exporter.run(host, '--once', *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return expo.check(done.stdout, expo.TEXT)

    def one_shots(self, watcher=None, ended=True):
        """The scenes of all servers, connected; `watcher` has seen every listener before. `ended`: A has read the end."""
        if not watcher:
            return [self.scene(scenes.one_shot, port=port, ended=ended) for port in PORTS]
        # one_shot() connects at once, too soon for a sample: another listener stands there before.
        for port in PORTS:
            listener = self.scene(scenes.listening, port=port)
            watcher.wait_value(1, 'tcphealth_listeners', port=port)
            listener.close()
        return self.one_shots(ended=ended)

    def vanish(self, made):
        """They reset, which B does not hear; then the network is whole again."""
        with self.b.drop(f'tcp dport {PORTS[0]}-{PORTS[-1]}') as drop:
            for scene in made[:VANISH]:
                scene.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
                scene.client.close()
            eventually(lambda: drop.packets() >= VANISH, what='the lost RSTs')

    def truth(self):
        """The story as ss tells it."""
        eventually(lambda: ss.count(self.a, state='CLOSE-WAIT') == SERVERS - VANISH, what='4 CLOSE_WAIT at A')
        self.assertEqual(ss.count(self.b, state='FIN-WAIT-2'), SERVERS)
        self.assertEqual(ss.find(self.b, state='LISTEN', local_port=lambda port: port in PORTS), [])

    def check_a(self, page, all_series):
        survivors = {('client', str(port)): 1 for port in PORTS[VANISH:]}
        self.assertEqual(pairs_with(page, 'close_wait'), survivors)
        self.assertEqual(page.sum('tcphealth_connections', role='client', state='close_wait'), SERVERS - VANISH)
        self.assertEqual(series_ports(page), {str(port) for port in (PORTS if all_series else PORTS[VANISH:])})

    def check_b(self, page):
        self.assertEqual(pairs_with(page, 'fin_wait2'), {('server', str(port)): 1 for port in PORTS})
        self.assertEqual(page.sum('tcphealth_connections', role='server', state='fin_wait2'), SERVERS)
        self.assertEqual(series_ports(page), {str(port) for port in PORTS})

    def test_exporters_that_saw_it_happen(self):
        self.see_it_happen(True, 'close_wait')

    def test_the_end_unread(self):
        """A's programs have not looked at their connections since: as stuck as the others, and told so."""
        self.see_it_happen(False, 'eof_unread')

    def see_it_happen(self, ended, at_client):
        at_a = self.start_exporter(self.a, *self.FLAGS)
        at_b = self.start_exporter(self.b, *self.FLAGS)
        made = self.one_shots(at_b, ended)
        at_a.wait_for(lambda page: len(pairs_with(page, 'close_wait')) == SERVERS)
        self.vanish(made)
        self.truth()
        self.check_a(at_a.wait_for(lambda page: len(pairs_with(page, 'close_wait')) == SERVERS - VANISH), True)
        page = at_b.wait_for(lambda page: len(pairs_with(page, 'fin_wait2')) == SERVERS)
        self.check_b(page)
        self.assertEqual([page.value('tcphealth_listeners', port=port) for port in PORTS], [0] * SERVERS)
        for program, role, reason, count in ((at_a, 'client', at_client, SERVERS - VANISH),
                                             (at_b, 'server', 'fin_wait2', SERVERS)):
            with self.subTest(reason=reason):
                program.wait_for(lambda page, r=role, why=reason, n=count:
                                 page.sum('tcphealth_stale_connections', role=r, reason=why) == n)

    def test_exporters_that_came_too_late(self):
        """Nobody listens any more, and nobody ever saw that one did: there is no series of listeners."""
        made = self.one_shots()
        self.vanish(made)
        self.truth()
        for source in ('netlink', 'procfs'):
            with self.subTest(source=source):
                self.check_a(self.once(self.a, '--collector.source=' + source), False)
                page = self.once(self.b, '--collector.source=' + source)
                self.check_b(page)
                self.assertEqual(page.series('tcphealth_listeners'), [])
        at_b = self.start_exporter(self.b, *self.FLAGS)
        at_b.wait_for(lambda page: page.sum('tcphealth_stale_connections', role='server',
                                            reason='fin_wait2') == SERVERS)

    # The mirror image, on one host: those who opened half-close, and the servers never do.

    def mirror(self, watcher=None):
        """[(client, server)] on host b alone."""
        ends = []
        for port in PORTS:
            with self.b.socket() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((self.b.address[4], port))
                listener.listen(1)
                if watcher:
                    watcher.wait_value(1, 'tcphealth_listeners', port=port)
                client = self.keep(self.b.socket())
                client.connect((self.b.address[4], port))
                ends.append((client, self.keep(listener.accept()[0])))
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(ends[-1][1].recv(1), b'')
        eventually(lambda: ss.count(self.b, state='CLOSE-WAIT') == SERVERS, what='14 CLOSE_WAIT')
        return ends

    def keep(self, end):
        def close():
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
                end.close()

        self.addCleanup(close)
        return end

    def vanish_here(self, ends):
        with self.b.drop(f'tcp dport {PORTS[0]}-{PORTS[-1]}') as drop:
            for client, _ in ends[:VANISH]:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, scenes.RESET_ON_CLOSE)
                client.close()
            eventually(lambda: drop.packets() >= VANISH, what='the lost RSTs')

    def check_mirror(self, page):
        self.assertEqual(pairs_with(page, 'close_wait'), {('server', str(port)): 1 for port in PORTS})
        self.assertEqual(pairs_with(page, 'fin_wait2'), {('client', str(port)): 1 for port in PORTS[VANISH:]})
        self.assertEqual(series_ports(page), {str(port) for port in PORTS})

    def test_mirror_image_that_was_seen(self):
        program = self.start_exporter(self.b, *self.FLAGS)
        ends = self.mirror(program)
        program.wait_for(lambda page: len(pairs_with(page, 'close_wait')) == SERVERS)
        self.vanish_here(ends)
        page = program.wait_for(lambda page: len(pairs_with(page, 'fin_wait2')) == SERVERS - VANISH)
        self.check_mirror(page)
        self.assertEqual([page.value('tcphealth_listeners', port=port) for port in PORTS], [0] * SERVERS)
        program.wait_for(lambda page: page.sum('tcphealth_stale_connections', role='server',
                                               reason='close_wait') == SERVERS
                         and page.sum('tcphealth_stale_connections', role='client',
                                      reason='fin_wait2') == SERVERS - VANISH)

    def test_mirror_image_that_was_not_seen(self):
        self.vanish_here(self.mirror())
        for source in ('netlink', 'procfs'):
            with self.subTest(source=source):
                page = self.once(self.b, '--collector.source=' + source)
                self.check_mirror(page)
                self.assertEqual(page.series('tcphealth_listeners'), [])
