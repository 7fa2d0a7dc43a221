"""--config.check gives the same verdicts as `promtool check web-config`, file by file, and names the position of errors."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from tcph import certs, exporter

CORPUS = os.path.join(exporter.ROOT, 'tests', 'webconfig', 'corpus')


def check(*args):
    """--config.check with these flags: status, standard output and standard error."""
    done = subprocess.run([exporter.PROGRAM, '--config.check', *args], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors='replace', timeout=exporter.patience(20), env=exporter.environment(), check=False)
    return done.returncode, done.stdout, done.stderr


def promtool(paths):
    """What `promtool check web-config` says of each file: {path: 'SUCCESS' or 'FAILED: why'}."""
    done = subprocess.run(['promtool', 'check', 'web-config', *paths], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors='replace', timeout=60, check=False)
    starts = [(match.start(), match.end(), path) for path in paths
              for match in [re.search('^' + re.escape(path) + ' (?=SUCCESS|FAILED)', done.stdout, re.MULTILINE)]]
    starts.sort()
    ends = [start for start, _, _ in starts[1:]] + [None]
    return {path: done.stdout[begin:end].rstrip() for (_, begin, path), end in zip(starts, ends)}


class CorpusTest(unittest.TestCase):
    """The certificates that the files name are made anew, beside a copy of them."""

    @classmethod
    def setUpClass(cls):
        cls.directory = cls.enterClassContext(tempfile.TemporaryDirectory())
        for kind in ('good', 'bad', 'newer', 'stricter'):
            shutil.copytree(os.path.join(CORPUS, kind), os.path.join(cls.directory, kind))
            certs.make_corpus_files(os.path.join(cls.directory, kind, 'tls'))

    def each(self, kind, examine):
        """Calls examine(path, what promtool says) for each file of a kind."""
        paths = [os.path.join(self.directory, kind, name) for name in sorted(os.listdir(os.path.join(CORPUS, kind)))]
        said = promtool(paths)
        for path in paths:
            with self.subTest(file=os.path.relpath(path, self.directory)):
                examine(path, said[path])

    def test_the_corpus_is_large(self):
        counts = [len(os.listdir(os.path.join(CORPUS, kind))) for kind in ('good', 'bad')]
        self.assertGreater(min(counts), 50)

    def test_good_files(self):
        def examine(path, said):
            self.assertEqual(check(f'--web.config.file={path}'), (0, f'{path} SUCCESS\n', ''))
            self.assertEqual(said, 'SUCCESS')

        self.each('good', examine)

    def test_bad_files(self):
        def examine(path, said):
            status, out, err = check(f'--web.config.file={path}')
            self.assertEqual((status, out), (1, ''))
            self.assertRegex(err, r'\A' + re.escape(path) + r':[1-9][0-9]*:[1-9][0-9]*: [^\n]+\n\Z')
            self.assertTrue(said.startswith('FAILED: '), said)

        self.each('bad', examine)

    def test_what_is_refused_though_promtool_takes_it_is_what_the_manual_names(self):
        def examine(path, said):
            status, _, err = check(f'--web.config.file={path}')
            self.assertEqual((status, said), (1, 'SUCCESS'))
            self.assertRegex(err, r':[1-9][0-9]*:[1-9][0-9]*: (aliases|merge keys|tags|several escaped quotes)[^\n]* not supported')

        self.each('stricter', examine)

    def test_what_is_taken_though_promtool_refuses_it_is_keys_that_it_does_not_know_yet(self):
        def examine(path, said):
            self.assertIn('not found in type', said)
            self.assertEqual(check(f'--web.config.file={path}')[0], 0)

        self.each('newer', examine)


class PlaceTest(unittest.TestCase):
    CASES = (
        ('tls_server_config:\n  cert_file: a\n  cert_file: b\n', ':3:3: duplicate key'),
        ('tls_server_config:\n  nonsense: a\n', ':2:3: unknown key "nonsense"'),
        ('http_server_config:\n  http2: maybe\n', ':2:10: "maybe" is not a boolean'),
        ('http_server_config:\n  headers:\n    X-Frame-Options: DENY\n', ':3:22: X-Frame-Options: "DENY" is not allowed'),
        ('basic_auth_users:\n  alice: "secret"\n', ': user "alice": too short for a bcrypt hash'),
        ('tls_server_config:\n  cert_file: nowhere\n  key_file: nowhere\n', ':2:14: '),
        ('rate_limit:\n  interval: soon\n', ':2:13: "soon" is not a duration'),
        ('rate_limit:\n  interval: 1s\n', ': rate_limit: a burst of 0'),
    )

    def test_errors_say_where(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, 'web.yml')
            for text, want in self.CASES:
                with self.subTest(text=text):
                    with open(path, 'w', encoding='utf-8') as file:
                        file.write(text)
                    status, _, err = check(f'--web.config.file={path}')
                    self.assertEqual(status, 1)
                    self.assertTrue(err.startswith(path + ':') and want in err, err)
                    self.assertNotIn('secret', err)

    def test_without_a_file_only_the_flags_count(self):
        self.assertEqual(check(), (0, 'flags SUCCESS\n', ''))
        self.assertEqual(check('--collector.interval=soon')[0], 2)

    def test_a_file_that_is_not_there(self):
        status, out, err = check('--web.config.file=/nonexistent/web.yml')
        self.assertEqual((status, out, err), (1, '', '/nonexistent/web.yml: No such file or directory\n'))
