"""The figures of docs/fleet.md: what it says about a host, and whether its arithmetic adds up."""
import math
import re

HOSTS, LEAF_SERIES, BYTES_A_SAMPLE, DAYS = 10_000, 2_000_000, 1.5, 15


def numbers(text, pattern):
    """The numbers in the groups of the pattern, which has to be there."""
    found = re.search(pattern, text, re.MULTILINE)
    if not found:
        raise AssertionError(f'{pattern} is not in docs/fleet.md any more')
    return [float(group.replace(',', '')) for group in found.groups()]


def parts(text):
    """[(series, of those kept)] of the table: what each host has, a served port, a port that it connects to."""
    return [numbers(text, rf'^\| {row}.* \| (\d+) \| (\d+) \|$') for row in ('fixed:', 'a port it serves', "a peer's port")]


def host(of_parts):
    """(series, of those kept) of the host that the document reckons with: 10 ports served, 15 connected to."""
    return tuple(fixed + 10 * served + 15 * client for fixed, served, client in zip(*of_parts))


def rows(text):
    """{begin of a row of the last table: what has to be in it}"""
    both = [HOSTS * series for series in host(parts(text))]
    kib, = numbers(text, r'memory of all leaves.*series × ([\d.]+) KiB')
    scrape, rules, page = (numbers(text, pattern)[0] for pattern in
                           (r'scraping, each 30 s.*× ([\d.]+) ms', r'for all rules.*× ([\d.]+) ms', r'^\| pages.*× (\d+) kB'))
    a_second = HOSTS / 30
    return {
        'active series': [f'{series / 1e6:.1f} million' for series in both],
        'samples a second, each 30 s': [f'{round(series / 30, -3):,.0f}' for series in both],
        'samples a second, each 60 s': [f'{round(series / 60, -3):,.0f}' for series in both],
        'memory of all leaves': [f'{series * kib / 2**20:.0f} GiB' for series in both],
        'leaves of 2 million series': [f'{math.ceil(series / LEAF_SERIES)}' for series in both],
        'CPUs for scraping, each 30 s': [f'{a_second * scrape / 1000:.1f}'],
        'and for all rules, each 30 s': [f'{a_second * rules / 1000:.1f}'],
        f'disk for {DAYS} days, each 30 s': [f'{series / 30 * BYTES_A_SAMPLE * 86400 * DAYS / 1e9:.0f} GB' for series in both],
        'pages, each 30 s': [f'{a_second * page / 1000:.0f} MB/s'],
    }


def complaints(text):
    """Where the table for 10,000 hosts is not what its own figures make."""
    wrong = []
    for begin, expected in rows(text).items():
        row = re.search(rf'^\| {re.escape(begin)} \|(.*)', text, re.MULTILINE)
        cells = [cell.strip() for cell in row[1].split('|')] if row else []
        wrong += [f'docs/fleet.md, "{begin}": {value} is not there' for value in expected if value not in cells]
    return wrong


def drift(text, measured, page):
    """Where a page is not any more what the document says; some hundredths are the kernel's and the machine's."""
    documented, now = host(parts(text)), host(measured)
    pairs = [('series of a host', documented[0], now[0]), ('series that are kept', documented[1], now[1]),
             ('kB of a page', numbers(text, r'^\| pages.*× (\d+) kB')[0], page / 1000)]
    return [f'docs/fleet.md: {what} are {said:g} there, {found:g} here' for what, said, found in pairs
            if abs(found - said) > 0.03 * said]
