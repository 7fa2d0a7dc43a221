"""Random histories whose culprit is known by construction: both hosts name it, never the other, and never too early.

TCPH_WORLD says how many histories are played (500), a batch at a time; the number of a batch is its seed. A disagreement is
told with the story of its connection.
"""
import os
import time

from tcph import exporter, ss, world
from tcph.case import NetTest
from tcph.poll import eventually

BATCH = 50
STEPS = 9
REASONS = ('dead', 'unaccepted', 'retransmit', 'unread', 'zero_window', 'eof_unread', 'close_wait', 'fin_wait2',
           'closing', 'syn_sent', 'syn_recv', 'idle')
THRESHOLD = 1.0
FIRST = 'first look'
SLACK = 0.3                # a jiffy, a tick of the memory, and a scheduler that was busy
FLAGS = [f'--stale.{reason.replace("_", "-")}={THRESHOLD:g}s' for reason in REASONS] + ['--collector.interval=200ms']
_SS_STATES = {'ESTAB': 'established', 'FIN-WAIT-1': 'fin_wait1', 'FIN-WAIT-2': 'fin_wait2', 'CLOSE-WAIT': 'close_wait',
              'LAST-ACK': 'last_ack', 'CLOSING': 'closing'}


class WorldTest(NetTest):
    def check_batch(self, number):
        programs = {host: self.start_exporter(host, *FLAGS) for host in (self.a, self.b)}
        with world.World(self.pair, number, BATCH) as w:
            wrong = self.play(w, programs)
        self.assertEqual(wrong, [], f'{len(wrong)} disagreements of {2 * BATCH} ends:\n' + '\n'.join(wrong[:40]))

    def play(self, w, programs):
        for _ in range(STEPS):
            w.step()
        w.settle()
        self.check_model(w)
        wrong = []
        # From here on nothing changes but for heartbeats: all is said within the threshold, and stays said.
        began = time.monotonic()
        self.beat_until(w, lambda: time.monotonic() - began > THRESHOLD + 4)
        for look in range(3):
            wrong += self.compare(w, programs, f'look {look}')
            now = time.monotonic()
            self.beat_until(w, lambda: time.monotonic() - now > 0.5)  # pylint: disable=cell-var-from-loop
        # Who starts now sees the same, as far as the kernel keeps it.
        newcomers = {host: exporter.Exporter(host, *FLAGS, port=exporter.PORT + 1) for host in programs}
        try:
            wrong += self.compare(w, newcomers, FIRST)
        finally:
            for newcomer in newcomers.values():
                newcomer.stop()
        return wrong

    @staticmethod
    def beat_until(w, condition):
        def beat():
            w.beat()
            return condition()

        eventually(beat, timeout=60, interval=0.1)

    def check_model(self, w):
        """The model's states are the kernel's, as ss tells them, once the last retransmissions of closed ends have come."""
        def differences():
            states = self.states_by_ss()
            return [world.describe(c) for c in w.connections for end in c.ends() if not self.is_true(states, c, end)]

        eventually(lambda: not differences(), timeout=20, interval=0.2, what=lambda: '\n'.join(differences()))

    def states_by_ss(self):
        return {(host, getattr(record, field)): _SS_STATES.get(record.state, '')
                for host, field in ((self.a, 'remote_port'), (self.b, 'local_port')) for record in ss.records(host)
                if record.state != 'LISTEN'}

    @staticmethod
    def is_true(states, connection, end):
        """An orphan in FIN_WAIT2 lives for its timeout only."""
        want = connection.state(end)
        return want == 'fin_wait2' and end.closed or states.get((end.host, connection.port), '') == want

    def compare(self, w, programs, when):
        """What each host says of its ends against the model; a list of disagreements."""
        wrong = []
        for host, program in programs.items():
            rows = self.ask(program)
            for connection in w.connections:
                end = connection.client if host is self.a else connection.server
                row = rows.get(connection.port)
                reason = row['reason'] if row else None
                if reason is None and when == FIRST and any(connection.is_hidden(end, want) for want in connection.expected(end)):
                    continue
                story = self.judge(connection, end, reason, row)
                if story:
                    wrong.append(f'{when}, {connection.name(end)}: {story}\n{world.describe(connection)}')
        return wrong

    @staticmethod
    def judge(connection, end, reason, row):
        expected = connection.expected(end)
        if reason not in expected:
            return f'says {reason}, right is {expected}'
        if reason is None:
            return None
        blame = row.get('blame', world.BLAME[reason])
        guilty = connection.guilty()
        culprit = {world.PROGRAM: end, world.PEER_PROGRAM: connection.other(end)}.get(blame, blame)
        if blame != world.BLAME[reason] or (
                blame != world.NOBODY and culprit not in guilty and not connection.is_silent_loss(end, reason)):
            return f'blames {blame} for {reason}, guilty are {guilty}'
        truth = time.monotonic() - connection.since(end, reason)
        if row['stale_seconds'] > truth + SLACK:
            return f'{reason} for {row["stale_seconds"]:.2f} s, in truth for {truth:.2f} s'
        return None

    @staticmethod
    def ask(program):
        def look():
            response = program.request('/api/v1/connections?reason=any&limit=1000')
            return response.status == 200 and response.json()

        answer = eventually(look, timeout=exporter.patience(10), interval=0.1, what=program.log_tail)
        assert not answer['truncated']
        return {row['port']: row for row in answer['connections']}


def _add_batches():
    for number in range(int(os.environ.get('TCPH_WORLD', '500')) // BATCH):
        def test(self, number=number):
            self.check_batch(number)

        test.__doc__ = 'Both hosts name the culprit.'
        setattr(WorldTest, f'test_batch_{number:03}', test)


_add_batches()
