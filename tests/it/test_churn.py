"""Thousands of connections come and go, and leave nothing behind in the exporter.

Takes 20 seconds, or a minute with TCPH_LONG=1. Also meant to run under the sanitizers.
"""
import faulthandler
import os
import signal
import subprocess

from tcph import exporter, netns, watch
from tcph.case import NetTest
from tcph.poll import eventually

SECONDS = 60 if os.environ.get('TCPH_LONG') else 20
LOADGEN = os.path.join(exporter.BUILD, 'tests', 'loadgen')
PORTS = range(900, 903)
RSS, DESCRIPTORS = 'process_resident_memory_bytes', 'process_open_fds'


class ChurnTest(NetTest):
    def setUp(self):
        super().setUp()
        signal.alarm(SECONDS + 60)
        faulthandler.dump_traceback_later(SECONDS + 90, exit=True)
        # TIME_WAIT would grow by itself for a minute.
        self.b.sysctl(ip_local_port_range='1024 65000', tcp_max_tw_buckets=2000)

    def churn(self, port, ending):
        # As nice as the exporter is: it shall be under load, not starve.
        process = self.b.popen('nice', '-n', 19, LOADGEN, '127.0.0.1', port, 200, 50, 100, 1000, ending, SECONDS,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(netns.kill, process)
        return process

    def test_memory_and_descriptors_do_not_grow(self):
        with watch.Watch(self.start_exporter(self.b, '--ports.include=' + ','.join(map(str, PORTS))), pause=0.2) as seen:
            processes = [self.churn(port, ending) for port, ending in zip(PORTS, ('orderly', 'close', 'reset'))]
            eventually(lambda: all(process.poll() is not None for process in processes), timeout=SECONDS + 30,
                       interval=0.2)
            self.assertEqual([process.returncode for process in processes], [0, 0, 0])
            made = sum(int(process.stdout.read()) for process in processes)
            page = self.wait_counted(seen.program, made)
        self.assertEqual(page.value('tcphealth_sample_errors_total'), 0)
        self.assertGreater(made, 100 * SECONDS)
        self.assert_steady(seen.samples)
        # One look at a busy socket may take the wrong end for the opener; it is counted anew when that is found out.
        self.assertLessEqual(self.counted(page, 'opened'), 2 * made + made // 10000)

    def assert_steady(self, samples):
        """From a quarter of the time on, when every table has had its largest size."""
        warm = samples[len(samples) // 4:]
        self.assertGreaterEqual(len(warm), 3)
        early, late = warm[:len(warm) // 3], warm[-len(warm) // 3:]
        self.assertLessEqual(max(sample.page.value(DESCRIPTORS) for sample in late),
                             max(sample.page.value(DESCRIPTORS) for sample in early) + 4)
        if not exporter.is_sanitized():  # which keep freed memory on purpose
            grown = (min(sample.page.value(RSS) for sample in late) - max(sample.page.value(RSS) for sample in early))
            self.assertLessEqual(grown, 1 << 20)

    def counted(self, page, what, role):
        """Connections of the load, by either end."""
        name = f'tcphealth_{what}_connections_total'
        return page.sum(name, role=role) - page.sum(name, role=role, port=exporter.PORT)

    def wait_counted(self, program, made):
        """Each end of each connection was counted or announced as lost; where nothing was lost, all are closed again."""
        def is_counted(page):
            lost = page.value('tcphealth_events_lost_total')
            opened, closed = self.counted(page, 'opened'), self.counted(page, 'closed')
            return opened + lost >= 2 * made and (lost or opened == closed)

        return program.wait_for(is_counted, timeout=20, what=lambda page: str(
            {'opened': self.counted(page, 'opened'), 'closed': self.counted(page, 'closed'), 'made': 2 * made,
             'lost': page.value('tcphealth_events_lost_total')}))

    def counted(self, page, what):
        """Ends of connections of the load."""
        name = f'tcphealth_{what}_connections_total'
        return page.sum(name) - page.sum(name, port=exporter.PORT)
