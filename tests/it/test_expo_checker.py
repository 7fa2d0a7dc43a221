"""The exposition checker itself: good pages pass, and each kind of bad page fails for the right reason."""
import unittest

from tcph import expo

GOOD_TEXT = rb'''# HELP a_total Counts \\ and \n.
# TYPE a_total counter
a_total{port="22",name="q\" b\\ n\n"} 1
a_total{port="23",name="x"} 2.5e+06
# HELP b Nothing yet.
# TYPE b gauge
# HELP c A gauge.
# TYPE c gauge
c -1
# HELP d_seconds Perhaps never.
# TYPE d_seconds gauge
d_seconds{a="1"} +Inf
d_seconds{a="2"} NaN
'''

GOOD_OPENMETRICS = rb'''# HELP a Counts \" things.
# TYPE a counter
a_total{port="22"} 1
# HELP x_build What this is.
# TYPE x_build info
x_build_info{version="1"} 1
# TYPE d_seconds gauge
# UNIT d_seconds seconds
# HELP d_seconds Time.
d_seconds 4
# EOF
'''

HEAD = '# HELP m Text.\n# TYPE m gauge\n'

# What is wrong with the page, in the words of the checker; the page.
BAD_TEXT = (
    ('duplicate series', HEAD + 'm{a="1",b="2"} 1\nm{b="2",a="1"} 1\n'),
    ('duplicate series', HEAD + 'm 1\nm 2\n'),
    ('family m again', HEAD + 'm 1\n# HELP n N.\n# TYPE n gauge\nn 1\n# HELP m Text.\n'),
    ('sample m outside', HEAD + 'm 1\n# HELP n N.\n# TYPE n gauge\nn 1\nm{a="1"} 1\n'),
    ('sample n outside', HEAD + 'n 1\n'),
    ('sample m outside', 'm 1\n'),
    ('no TYPE for m', '# HELP m Text.\nm 1\n'),
    ('no HELP for m', '# TYPE m gauge\nm 1\n'),
    ('empty HELP', '# HELP m \n# TYPE m gauge\nm 1\n'),
    ('second TYPE', HEAD + '# TYPE m gauge\nm 1\n'),
    ('second HELP', HEAD + '# HELP m Text.\nm 1\n'),
    ('after its samples', HEAD + 'm 1\n# TYPE m gauge\n'),
    ('none of', '# HELP m Text.\n# TYPE m guage\nm 1\n'),
    ('none of', '# HELP m Text.\n# TYPE m histogram\nm 1\n'),
    ('none of', '# HELP m_info Text.\n# TYPE m_info info\nm_info 1\n'),
    ('without _total', '# HELP m Text.\n# TYPE m counter\nm 1\n'),
    ('_total in the name', '# HELP m_total Text.\n# TYPE m_total gauge\nm_total 1\n'),
    ('value -1', '# HELP m_total Text.\n# TYPE m_total counter\nm_total -1\n'),
    ('value nan', '# HELP m_total Text.\n# TYPE m_total counter\nm_total NaN\n'),
    ('blank line', HEAD + '\nm 1\n'),
    ('blank line', HEAD + 'm 1\n\n'),
    ('neither metadata', HEAD + '# a comment\nm 1\n'),
    ('neither metadata', HEAD + 'm 1\n# EOF\n'),
    ('neither metadata', HEAD + '# UNIT m seconds\nm 1\n'),
    ('neither metadata', HEAD + ' m 1\n'),
    ('neither metadata', HEAD + '1m 1\n'),
    ('invalid name', '# HELP m-n Text.\n'),
    ('carriage return', HEAD + 'm 1\r\n'),
    ('no line feed', HEAD + 'm 1'),
    ('no sample', HEAD),
    ('no sample', ''),
    ('no space before', HEAD + 'm\t1\n'),
    ('no space before', HEAD + 'm{a="1"}1\n'),
    ('no space before', HEAD + 'm-n 1\n'),
    ('not one number', HEAD + 'm one\n'),
    ('not one number', HEAD + 'm\x20\n'),
    ('not one number', HEAD + 'm  1\n'),
    ('not one number', HEAD + 'm 1 \n'),
    ('not one number', HEAD + 'm 1 1700000000000\n'),
    ('not one number', HEAD + 'm inf\n'),
    ('not one number', HEAD + 'm 0x10\n'),
    ('not one number', HEAD + 'm 1,5\n'),
    ('invalid label', HEAD + 'm{1a="1"} 1\n'),
    ('invalid label', HEAD + 'm{a-b="1"} 1\n'),
    ('invalid label', HEAD + 'm{a=1} 1\n'),
    ('invalid label', HEAD + 'm{a="1", b="2"} 1\n'),
    ('neither , nor }', HEAD + 'm{a="1",} 1\n'),
    ('neither , nor }', HEAD + 'm{a="1"b="2"} 1\n'),
    ('empty braces', HEAD + 'm{} 1\n'),
    ('label a twice', HEAD + 'm{a="1",a="2"} 1\n'),
    ('reserved label', HEAD + 'm{__name__="x"} 1\n'),
    ('a NUL', HEAD + 'm{a="\0"} 1\n'),
    ('invalid escape', HEAD + 'm{a="\\t"} 1\n'),
    ('invalid escape', '# HELP m A \\" quote.\n# TYPE m gauge\nm 1\n'),
    ('invalid escape', '# HELP m The end \\\n# TYPE m gauge\nm 1\n'),
    ('without end', HEAD + 'm{a="1\n'),
    ('without end', HEAD + 'm{a="x\ny"} 1\n'),
    ('without end', HEAD + 'm{a="x\\"} 1\n'),
    ('neither , nor }', HEAD + 'm{a="x"y"} 1\n'),
    ('invalid UTF-8', (HEAD + 'm{a="').encode() + b'\xff"} 1\n'),
    ('invalid UTF-8', (HEAD + 'm{a="').encode() + b'\xed\xa0\x80"} 1\n'),
)

BAD_OPENMETRICS = (
    ('no # EOF', HEAD + 'm 1\n'),
    ('after # EOF', HEAD + 'm 1\n# EOF\nm 2\n'),
    ('after # EOF', HEAD + 'm 1\n# EOF\n\n'),
    ('no line feed', HEAD + 'm 1\n# EOF'),
    ('sample a outside', '# HELP a Text.\n# TYPE a counter\na 1\n# EOF\n'),
    ('_total in the name', '# HELP a_total Text.\n# TYPE a_total counter\na_total 1\n# EOF\n'),
    ('value 2', '# HELP a Text.\n# TYPE a info\na_info 2\n# EOF\n'),
    ('is not the end', '# HELP a Text.\n# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n'),
    ('not one number', HEAD + 'm 1 # {a="1"} 1\n# EOF\n'),
)


class CheckerTest(unittest.TestCase):
    def refuse(self, form, why, page):
        data = page if isinstance(page, bytes) else page.encode()
        problems = expo.parse(data, form).problems
        self.assertTrue(any(why in text for _, text in problems), f'{why!r} is not in {problems}')
        with self.assertRaises(AssertionError):
            expo.check(data, form)

    def test_bad_text_is_refused(self):
        for why, page in BAD_TEXT:
            with self.subTest(page=page):
                self.refuse(expo.TEXT, why, page)

    def test_bad_openmetrics_is_refused(self):
        for why, page in BAD_OPENMETRICS:
            with self.subTest(page=page):
                self.refuse(expo.OPENMETRICS, why, page)

    def test_good_pages_pass(self):
        self.assertEqual(expo.parse(GOOD_TEXT, expo.TEXT).problems, [])
        self.assertEqual(expo.parse(GOOD_OPENMETRICS, expo.OPENMETRICS).problems, [])

    def test_eof_tells_the_format(self):
        self.assertEqual(expo.parse(GOOD_OPENMETRICS).problems, [])
        self.assertEqual(expo.parse(GOOD_TEXT).problems, [])

    def test_values_are_found_by_name_and_labels(self):
        page = expo.check(GOOD_TEXT)
        self.assertEqual(page.value('a_total', port=22, name='q" b\\ n\n'), 1)
        self.assertIsNone(page.value('a_total', port=22))
        self.assertEqual(page.value('c'), -1)
        self.assertEqual(page.value('d_seconds', a='1'), float('inf'))
        self.assertEqual(page.series('a_total', port=23), [({'port': '23', 'name': 'x'}, 2.5e6)])
        self.assertEqual(page.sum('a_total'), 2500001)
        self.assertEqual(page.sum('nothing'), 0)
        self.assertEqual(page.families['a_total'].help, 'Counts \\ and \n.')
        self.assertEqual(page.families['b'].samples, 0)

    def test_the_line_of_a_problem_is_told(self):
        self.assertEqual(expo.parse((HEAD + 'm x\n').encode()).problems[0][0], 3)
