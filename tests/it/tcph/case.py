"""The base classes of the integration tests."""
import functools
import unittest

from tcph import exporter, netns, scenes


@functools.lru_cache(maxsize=None)
def _why_no_namespaces():
    return '' if netns.is_usable() else 'needs root: it makes network namespaces'


class NetTest(unittest.TestCase):
    """A test with two hosts: self.pair, self.a (clients) and self.b (servers), made anew for each test."""

    def setUp(self):
        if _why_no_namespaces():
            self.skipTest(_why_no_namespaces())
        self.pair = self.enterContext(netns.Pair())
        self.a, self.b = self.pair.a, self.pair.b

    def scene(self, recipe, **options):
        """A scene that ends with the test: self.scene(scenes.close_wait, port=8080)."""
        return self.enterContext(recipe(self.pair, **options))

    def start_counting(self, host, *args, **options):
        """start_exporter() with series for the pair's first ports: those that come later do not rise until they were seen."""
        first = self.pair.FIRST_PORT
        return self.start_exporter(host, f'--ports.include={first}-{first + 3}', *args, **options)

    def start_exporter(self, host, *args, **options):
        """The exporter, running on `host`, ended and examined after the test."""
        return self.enterContext(exporter.Exporter(host, *args, **options))


__all__ = ['NetTest', 'scenes']
