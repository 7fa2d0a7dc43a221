"""Whether keepalive is on, what its probes find, and how long a lost peer would go unnoticed."""
import math
import socket
import time

from tcph import scenes, ss, watch
from tcph.case import NetTest
from tcph.poll import eventually

CLIENT, SERVER = 'client', 'server'
LOSS, PROBES = 'tcphealth_peer_loss_detection_seconds', 'tcphealth_unanswered_keepalive_probes'


def classes(page, role, port):
    """Connections by class of keepalive, without zeros."""
    return {labels['keepalive']: value for labels, value in
            page.series('tcphealth_keepalive_connections', role=role, port=port) if value}


class KeepaliveTest(NetTest):
    def assert_classes(self, program, wanted, port, role=SERVER):
        program.wait_for(lambda page: classes(page, role, port) == wanted,
                         what=lambda page: f'{wanted}, now {classes(page, role, port)}')

    def test_exporter_notices_a_scraper_that_vanished(self):
        """Its own port is no answer to the question who would never notice."""
        program = self.start_exporter(self.b, '--web.listen-address=:10793')
        scraper = self.enterContext(self.a.socket())
        scraper.connect((self.b.address[4], 10793))
        page = program.wait_value(1, 'tcphealth_keepalive_connections', role='server', port=10793, keepalive='on')
        self.assertEqual(page.value('tcphealth_keepalive_connections', role='server', port=10793, keepalive='off'), 0)
        # The kernel tells the idle time of each socket, but for the rest only the host's settings.
        self.assertLess(page.value(LOSS, role='server', port=10793), 15 + 9 * 75 + 1)

    def test_on_and_off_at_either_end(self):
        on = self.scene(scenes.established, keepalive=(60, 10, 3))
        self.scene(scenes.established, listener=on.listener)
        for host, role in ((self.a, CLIENT), (self.b, SERVER)):
            program = self.start_exporter(host)
            self.assert_classes(program, {'on': 1, 'off': 1}, on.port, role)
            on.client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
            on.server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
            self.assert_classes(program, {'off': 2}, on.port, role)
            for end in (on.client, on.server):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def test_only_established_ones_count(self):
        """The full orphan's timer is the keepalive timer, too."""
        program = self.start_exporter(self.a)
        scene = self.scene(scenes.fin_wait2_orphan_full)
        program.wait_value(1, 'tcphealth_connections', role=CLIENT, port=scene.port, state='fin_wait2')
        self.assertEqual(classes(program.page(), CLIENT, scene.port), {})

    def test_masked_but_seen_before(self):
        """Unanswered data hides the timer: what was seen unmasked is remembered, also for the loss of the peer."""
        self.b.sysctl(tcp_keepalive_intvl=2, tcp_keepalive_probes=3)
        scenes_ = [self.scene(scenes.established, keepalive=keepalive) for keepalive in ((3, 2, 3), None)]
        program = self.start_exporter(self.b)
        wanted = dict(zip([scene.port for scene in scenes_], (({'on': 1}, 9), ({'off': 1}, math.inf))))

        def is_right(page):
            return all((classes(page, SERVER, port), page.value(LOSS, role=SERVER, port=port)) == want
                       for port, want in wanted.items())

        program.wait_for(is_right)
        for scene in scenes_:
            scene.drop(self.a)
            scene.server.sendall(b'x')
            scene.see(self.b, 'ESTAB', timer='on', timer_retrans=lambda sent: sent >= 1)
        with watch.Watch(program) as seen:
            for sample in seen.wait(1):
                self.assertTrue(is_right(sample.page))
        self.assertEqual(ss.count(self.b, state='ESTAB', timer='on'), 2)

    def test_masked_since_first_sight(self):
        scene = self.scene(scenes.half_open_unacked)
        program = self.start_exporter(self.b)
        self.assert_classes(program, {'unknown': 1}, scene.port)
        scene.restore()
        self.assert_classes(program, {'off': 1}, scene.port)

    def test_unanswered_probes_are_summed(self):
        scene = self.scene(scenes.established, keepalive=(1, 1, 60))
        self.scene(scenes.established, keepalive=(1, 1, 60), listener=scene.listener)
        program = self.start_exporter(self.b)
        scene.drop(self.b)
        where = {'role': SERVER, 'port': scene.port}
        page = program.wait_value(lambda probes: probes >= 4, PROBES, **where)
        truth = sum(record.timer_retrans for record in ss.find(self.b, state='ESTAB', local_port=scene.port))
        self.assertLessEqual(page.value(PROBES, **where), truth)
        scene.restore()
        program.wait_value(0, PROBES, **where)

    def test_the_kernel_counts_the_probes(self):
        self.scene(scenes.established, keepalive=(1, 1, 9))
        program = self.start_exporter(self.b)
        program.wait_value(lambda probes: probes >= 2, 'tcphealth_kernel_keepalive_probes_total')


class PeerLossTest(NetTest):
    def setUp(self):
        super().setUp()
        self.pair.sysctl(tcp_keepalive_time=100, tcp_keepalive_intvl=2, tcp_keepalive_probes=3)

    def assert_loss(self, program, wanted, role, port):
        program.wait_value(wanted, LOSS, role=role, port=port)

    def test_worst_case_by_port(self):
        """IDLE 3 INTVL 2 CNT 3 makes 9; the worst connection of a port decides."""
        by_keepalive = self.scene(scenes.established, keepalive=(3, 2, 3))
        worst = self.scene(scenes.established, keepalive=(3, 2, 3))
        self.scene(scenes.established, listener=worst.listener, keepalive=(30, 2, 3))
        never = self.scene(scenes.established, keepalive=(3, 2, 3))
        self.scene(scenes.established, listener=never.listener)
        nobody = self.scene(scenes.listening)
        for host, role in ((self.a, CLIENT), (self.b, SERVER)):
            program = self.start_exporter(host)
            for scene, seconds in ((by_keepalive, 9), (worst, 36), (never, math.inf)):
                self.assert_loss(program, seconds, role, scene.port)
        self.assertEqual(program.page().value(LOSS, role=SERVER, port=nobody.port), 0)

    def test_half_closed_ones(self):
        """Held, nothing would ever notice; orphans and TIME_WAIT are the kernel's own business."""
        held = self.scene(scenes.fin_wait2_held)
        orphan, full, time_wait = (self.scene(recipe) for recipe in (
            scenes.fin_wait2_orphan, scenes.fin_wait2_orphan_full, scenes.time_wait))
        client, server = self.start_exporter(self.a), self.start_exporter(self.b)
        self.assert_loss(client, math.inf, CLIENT, held.port)
        for scene in (held, orphan, full):
            self.assert_loss(server, math.inf, SERVER, scene.port)
        for scene in (orphan, full, time_wait):
            self.assert_loss(client, 0, CLIENT, scene.port)
        self.assert_loss(server, 0, SERVER, time_wait.port)

    def test_idle_time_is_learned_while_data_flows(self):
        """The sum of what is left and what has passed is smaller after activity: the longest ever seen counts."""
        scene = self.scene(scenes.established, keepalive=(3, 2, 3))
        program = self.start_exporter(self.b)
        self.assert_loss(program, 9, SERVER, scene.port)
        with watch.Watch(program) as seen:
            for _ in range(10):
                scene.client.sendall(b'x')
                seen.wait(0.1)
            samples = seen.wait(0.5)
        self.assertEqual({sample.page.value(LOSS, role=SERVER, port=scene.port) for sample in samples}, {9})

    def test_it_comes_true(self):
        """What is promised is what the kernel then does."""
        self.pair.sysctl(tcp_keepalive_intvl=1, tcp_keepalive_probes=2)
        scene = self.scene(scenes.established, keepalive=(1, 1, 2))
        program = self.start_exporter(self.b)
        self.assert_loss(program, 3, SERVER, scene.port)
        lost = time.monotonic()
        scene.drop(self.a)
        scene.drop(self.b)
        eventually(lambda: not ss.count(self.b, state='ESTAB', local_port=scene.port), timeout=10)
        self.assertLess(time.monotonic() - lost, 3 + 1)
        self.assert_loss(program, 0, SERVER, scene.port)
        program.wait_value(1, 'tcphealth_connections', role=SERVER, port=scene.port, state='close')
