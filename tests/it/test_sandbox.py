"""The program's own system call filter: narrower than its unit's, in force in every thread, and not in the way."""
import os
import re
import subprocess
import unittest

from tcph import exporter
from tcph.case import NetTest

SOURCE = os.path.join(exporter.ROOT, 'src', 'base', 'sandbox.c')
UNIT = os.path.join(exporter.ROOT, 'deploy', 'systemd', 'tcphealth_exporter.service')
FILTERED = '2'  # Seccomp in /proc/PID/status


def calls_of(group):
    """The calls of one of systemd's groups ("@system-service"), or the one call."""
    if not group.startswith('@'):
        return {group}
    said = subprocess.run(['systemd-analyze', 'syscall-filter', group], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=True).stdout.splitlines()
    lines = [line.strip() for line in said[1:]]
    return set().union(*(calls_of(line) for line in lines if line and not line.startswith('#')))


def calls_of_unit():
    """What the lines SystemCallFilter= leave, as systemd reads them one after the other."""
    with open(UNIT, encoding='utf-8') as file:
        lines = re.findall(r'^SystemCallFilter=(~?)(.+)$', file.read(), re.MULTILINE)
    allowed = set()
    for denied, words in lines:
        calls = set().union(*(calls_of(word) for word in words.split()))
        allowed = allowed - calls if denied else allowed | calls
    return allowed


def calls_of_sandbox(*tables):
    with open(SOURCE, encoding='utf-8') as file:
        text = file.read()
    found = re.findall(rf'static const (?:int|struct rule) (?:{"|".join(tables)})\[\] = \{{\n(.*?)\n\}};', text, re.DOTALL)
    assert len(found) == len(tables)
    return set(re.findall(r'SCMP_SYS\((\w+)\)', ''.join(found)))


class ListsTest(unittest.TestCase):
    def test_the_programs_list_is_narrower_than_the_units(self):
        own, unit = calls_of_sandbox('allowed', 'conditional'), calls_of_unit()
        self.assertIn('read', own)
        self.assertEqual((own | calls_of_sandbox('allowed_elsewhere')) - unit, set())
        self.assertLess(len(own), len(unit) / 3)
        # For the filter itself and the start, which is over by then.
        self.assertEqual({'seccomp', 'execve', 'setns', 'unlink'} & own, set())


def mode_of(path):
    """What a status file says: the mode, how many filters, whether no privilege can be gained."""
    with open(path, encoding='utf-8') as file:
        status = dict(re.findall(r'^(\w+):\t(.*)$', file.read(), re.MULTILINE))
    return status['Seccomp'], int(status['Seccomp_filters']), status['NoNewPrivs']


class RunningTest(NetTest):
    #: Of this process, and so of a program without a filter of its own.
    without = mode_of('/proc/self/status')

    def modes(self, program):
        directory = f'/proc/{program.process.pid}/task'
        modes = [mode_of(f'{directory}/{task}/status') for task in os.listdir(directory)]
        self.assertGreaterEqual(len(modes), 8)  # main, samples, events, gate, four that serve
        return set(modes)

    def test_every_thread_is_in_it(self):
        program = self.start_exporter(self.b)
        wanted = self.without if exporter.is_sanitized() else (FILTERED, self.without[1] + 1, '1')
        self.assertEqual(self.modes(program), {wanted})
        self.assertNotIn('running without a sandbox', program.log_text())

    def test_it_can_be_switched_off(self):
        program = self.start_exporter(self.b, '--no-sandbox')
        self.assertEqual(self.modes(program), {self.without})
        self.assertEqual(program.fresh_page().value('tcphealth_sample_success'), 1)
