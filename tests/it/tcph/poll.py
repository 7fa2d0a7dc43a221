"""Waits for a condition. No test sleeps for a fixed time."""
import time


def eventually(fn, timeout=5.0, interval=0.02, what=None):
    """Calls `fn` until it returns something true, and returns that; AssertionError after `timeout` seconds.

    `what` (text, or a function that makes text) says what was waited for, and what was there instead.
    """
    end = time.monotonic() + timeout
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() >= end:
            what = what() if callable(what) else what
            raise AssertionError(f'not within {timeout:g} s: {what or fn}')
        time.sleep(interval)
