"""Ages of states and silences of peers, compared with the wall clock."""
import math
import socket
import time

from tcph import expo, exporter, scenes, ss, watch
from tcph.case import NetTest
from tcph.poll import eventually

CLIENT, SERVER = 'client', 'server'
AGE, SILENCE = 'tcphealth_oldest_state_age_seconds', 'tcphealth_longest_silence_seconds'
INTERVAL, TOLERANCE = 0.1, 0.05


class Claim:
    """A series that counts whole seconds since something happened: not before `earliest`, not after `latest`."""

    def __init__(self, act, name, role, port, state=None):
        self.name = name
        self.labels = {'role': role, 'port': port, **({'state': state} if state else {})}
        self.earliest = time.time()
        act()
        self.latest = time.time()

    def __str__(self):
        return f'{self.name}{self.labels}'

    def have(self, page):
        return page.value(self.name, **self.labels)

    def bounds(self, sample, behind):
        """The least and the most that the sample may say; `behind` is how much of the age it need not know."""
        least = max(0, sample.begun - self.latest - TOLERANCE - behind)
        most = sample.ended - self.earliest + TOLERANCE
        return math.floor(least), math.floor(most)


class AgesTest(NetTest):
    def setUp(self):
        super().setUp()
        self.pair.sysctl(tcp_fin_timeout=60)

    def assert_true(self, claim, samples, behind=None):
        """Some ages are known from first sight only: `behind` is the interval by default, longer if the host is busy."""
        if behind is None:
            behind = max(INTERVAL, samples[0].ended - claim.latest)
        for sample in samples:
            least, most = claim.bounds(sample, behind)
            have = claim.have(sample.page)
            self.assertTrue(least <= have <= most, f'{claim}: {have} is not within {least}..{most}, '
                            f'{sample.ended - claim.earliest:.3f} s after')

    def make(self):
        """The claims of sockets in all states that have an age, at the client's host and at the server's."""
        return [self.half_closed(lambda scene: (scene.client.close(), scene.server.recv(1)), SERVER, 'close_wait'),
                self.half_closed(lambda scene: scene.client.close(), CLIENT, 'fin_wait2'),
                self.half_closed(lambda scene: scene.client.shutdown(socket.SHUT_WR), CLIENT, 'fin_wait2'),
                *self.closing(), *self.opening(), *self.silent()]

    def half_closed(self, act, role, state):
        scene = self.scene(scenes.established)
        return Claim(lambda: act(scene), AGE, role, scene.port, state)

    def closing(self):
        scene = self.scene(scenes.established)
        scene.drop(self.b)
        yield Claim(scene.client.close, AGE, CLIENT, scene.port, 'fin_wait1')
        scene = self.scene(scenes.established)
        scene.client.shutdown(socket.SHUT_WR)
        scene.drop(self.a)
        yield Claim(scene.server.close, AGE, SERVER, scene.port, 'last_ack')
        scene = self.scene(scenes.established)
        scene.drop(self.b)
        scene.client.close()
        yield Claim(scene.server.close, AGE, CLIENT, scene.port, 'closing')

    def opening(self):
        scene = self.enterContext(scenes.Scene(self.pair))
        scene.drop(self.b)
        yield Claim(scene.begin_connect, AGE, CLIENT, scene.port, 'syn_sent')
        scene = self.enterContext(scenes.Scene(self.pair))
        scene.listen()
        scene.drop(self.a)
        yield Claim(scene.begin_connect, AGE, SERVER, scene.port, 'syn_recv')

    def silent(self):
        """One that said something last, and one that never did."""
        scene = self.scene(scenes.established)
        yield Claim(lambda: scene.client.send(b'x'), SILENCE, SERVER, scene.port)
        scene = self.enterContext(scenes.Scene(self.pair))
        yield Claim(scene.link, SILENCE, SERVER, scene.port)

    def on(self, host, claims):
        role = CLIENT if host is self.a else SERVER
        return [claim for claim in claims if claim.labels['role'] == role]

    def test_against_the_wall_clock(self):
        seen = {host: self.enterContext(watch.Watch(self.start_exporter(host))) for host in (self.a, self.b)}
        claims = self.make()
        for host in (self.a, self.b):
            seen[host].wait(3.3, least=10)
            for claim in self.on(host, claims):
                samples = seen[host].after(claim.latest)
                with self.subTest(claim=str(claim)):
                    self.assert_true(claim, samples)
                    self.assertGreaterEqual(claim.have(samples[-1].page), 2)

    def test_at_first_sight(self):
        """An exporter that starts late: the kernel's own clocks tell exactly, or a lower bound."""
        claims = self.make()
        last = max(claim.latest for claim in claims)
        eventually(lambda: time.time() - last > 3.2)
        for host in (self.a, self.b):
            sample = self.once(host)
            for claim in self.on(host, claims):
                state = claim.labels.get('state')
                exact = state in ('close_wait', 'fin_wait2', None)
                with self.subTest(claim=str(claim)):
                    self.assert_true(claim, [sample], 0 if exact else math.inf)
                if state == 'syn_sent':  # its timer tells most of it
                    self.assertGreaterEqual(claim.have(sample.page), 2, claim)

    def once(self, host):
        begun = time.time()
        done = exporter.run(host, '--once')
        return watch.Sample(begun, time.time(), expo.check(done.stdout, expo.TEXT))

    def test_close_wait_grows_while_it_streams(self):
        """What the server sends moves the kernel's clock, not the age of the state: only its progress."""
        threshold = 1.5
        program = self.start_exporter(self.b, f'--stale.close-wait={threshold * 1000:.0f}ms')
        scene = self.scene(scenes.established)
        claim = Claim(lambda: scene.client.shutdown(socket.SHUT_WR), AGE, SERVER, scene.port, 'close_wait')
        self.assertEqual(scene.server.recv(1), b'')
        where = {'role': SERVER, 'port': scene.port, 'reason': 'close_wait'}
        with watch.Watch(program) as seen:
            program.wait_value(1, 'tcphealth_stale_connections', **where)
            before = time.time()
            scene.server.send(b'x')
            eventually(lambda: int(ss.find(self.b, local_port=scene.port, state='CLOSE-WAIT')[0].info['lastack']) < 1000)
            after = time.time()
            program.wait_value(0, 'tcphealth_stale_connections', **where)
            samples = seen.wait(threshold + 0.5, least=10)
        self.assert_true(claim, seen.after(claim.latest))
        for sample in samples:
            have = sample.page.value('tcphealth_stale_connections', **where)
            if sample.ended - before < threshold - TOLERANCE:
                self.assertEqual(have, 0, f'{sample.ended - before:.3f} s after it sent')
            if sample.begun - after > threshold + INTERVAL + TOLERANCE:
                self.assertEqual(have, 1, f'{sample.begun - after:.3f} s after it sent')
