"""The stale reasons, in the order of the program."""
import json
import os

from tcph.exporter import ROOT

with open(os.path.join(ROOT, 'deploy/mixin/reasons.json'), encoding='utf-8') as file:
    ROWS = json.load(file)
REASONS = [row['reason'] for row in ROWS]


def thresholds(duration, probes=2, **others):
    """Flags that set all thresholds to `duration`, but for others: thresholds('1s', idle='1h')."""
    return [f'--{row["flag"]}={others.get(row["reason"], probes if row["kind"] == "probes" else duration)}' for row in ROWS]
