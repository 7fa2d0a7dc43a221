"""The demonstration of `make demo` as a test: the shipped rules, configurations, dashboards and hook, in the real programs.

The incident is played once, before the first test, and takes most of a minute.
"""
import os
import sys
import unittest

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'demo'))

import night  # pylint: disable=wrong-import-position
import panels  # pylint: disable=wrong-import-position
from tcph import exporter, netns, scenes  # pylint: disable=wrong-import-position


class AlertsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not netns.is_usable():
            raise unittest.SkipTest('needs root: it makes network namespaces')
        cls.night = cls.enterClassContext(night.Night())
        cls.night.play()
        cls.night.wait_for_alerts(exporter.patience(90))
        cls.complaints = cls.night.complaints()

    def test_each_alert_reaches_its_receiver_with_its_labels_and_no_other_does(self):
        self.assertEqual(self.complaints['alerts that came'], [])
        self.assertEqual(len(self.night.reached()), len(night.EXPECTED))

    def test_texts_tell_host_port_unit_and_cure(self):
        self.assertEqual(self.complaints['texts'], [])

    def test_what_fires_and_is_held_back(self):
        self.assertEqual(self.complaints['alerts that fire'], [])

    def test_remedy_hook_would_restart_the_units_and_nothing_else(self):
        if not self.night.tree:
            self.skipTest('needs a cgroup2 hierarchy that it may write')
        self.assertEqual(self.complaints['remedy hook'], [])
        self.assertIn('act=false', self.night.remedy.text())

    def test_every_panel_has_data(self):
        """All queries of all dashboards. One more fault is made for them: a listener that drops."""
        with scenes.accept_overflow(self.night.pair) as overflow:
            drops = f'rate(tcphealth_listen_drops_total{{port="{overflow.port}"}}[10s]) > 0'
            self.night.prometheus.wait_for(drops, bool, 30)
            asker = panels.Asker(self.night.prometheus, (night.LOAD, night.FEED, overflow.port))
            self.assertEqual(list(asker.complaints()), [])
            self.assertGreater(asker.asked, 100)


if __name__ == '__main__':
    unittest.main()
