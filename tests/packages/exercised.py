#!/usr/bin/python3
"""Checks that each file in deploy/ and grafana/ is read by the run that exercised.txt names.

    exercised.py forget        before a part: sets old access times
    exercised.py read PART     after it: names those of its files that it did not read
    exercised.py all           names files that no part reads, and wrong lines

Access times show what was read. Parts that copy the whole tree have read everything, so it proves nothing there.
"""
import fnmatch
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LONG_AGO = 1_000_000_000


def files():
    done = subprocess.run(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard', 'deploy', 'grafana'],
                          cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return sorted(path for path in done.stdout.split('\0') if path and os.path.exists(os.path.join(ROOT, path)))


def text_of(*path):
    with open(os.path.join(ROOT, *path), encoding='utf-8') as file:
        return file.read()


def claims():
    """[(run, pattern)]"""
    lines = [line.split() for line in text_of(HERE, 'exercised.txt').splitlines() if line and not line.startswith('#')]
    return [(run, pattern) for run, *patterns in lines for pattern in patterns]


def matching(pattern):
    return fnmatch.filter(files(), pattern)


def forget():
    for path in files():
        status = os.stat(os.path.join(ROOT, path))
        os.utime(os.path.join(ROOT, path), ns=(LONG_AGO * 10**9, status.st_mtime_ns))


def was_read(path):
    return os.stat(os.path.join(ROOT, path)).st_atime != LONG_AGO


def unread(part):
    """Tries first whether this file system keeps the time of access."""
    probe = files()[0]
    text_of(probe)
    if not was_read(probe):
        return ['this file system does not tell who read a file: mounted with noatime?']
    patterns = [pattern for run, pattern in claims() if run == part]
    return [path for pattern in patterns for path in matching(pattern) if not was_read(path)]


def names(text, path, pattern):
    """Whether a test names the pattern, the file or a folder of it."""
    folders = path.split('/')
    return pattern in text or any('/'.join(folders[:depth]) in text for depth in range(2, len(folders) + 1))


def wrong_run(run, pattern):
    step, _, test = run.partition(':')
    if not test:
        return None if os.access(os.path.join(HERE, run), os.X_OK) and run in text_of(HERE, 'run') else f'{run} is not a part'
    if not re.search(rf'^step {re.escape(step)} ', text_of('.ci/run'), re.MULTILINE):
        return f'{step} is not a step of .ci/run'
    if not os.path.exists(os.path.join(ROOT, test)):
        return f'{test} does not exist'
    forgotten = [path for path in matching(pattern) if not names(text_of(test), path, pattern)]
    return f'{test} does not name {forgotten[0]}' if forgotten else None


def wrong():
    exercised = set()
    for run, pattern in claims():
        found = matching(pattern)
        exercised.update(found)
        complaint = wrong_run(run, pattern) if found else f'{pattern} is no file'
        if complaint:
            yield complaint
    yield from (f'nobody exercises {path}' for path in files() if path not in exercised)


def main():
    if sys.argv[1] == 'forget':
        forget()
        return 0
    found = unread(sys.argv[2]) if sys.argv[1] == 'read' else list(wrong())
    print(*found, sep='\n')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
