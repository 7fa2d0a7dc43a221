#!/usr/bin/python3
"""Plays an incident on two simulated hosts, and shows the alerts it leads to.

    tests/demo/run.py

Runs as root, in its own network namespaces; nothing leaves the machine and nothing stays. It takes about a minute. Exits
with status 0 if all expected alerts came and no other. TCPHEALTH_BUILD names the build directory.
"""
import os
import signal
import sys
import textwrap

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), 'it'), HERE]
sys.dont_write_bytecode = True

import monitoring  # pylint: disable=wrong-import-position
import night  # pylint: disable=wrong-import-position
from tcph import netns  # pylint: disable=wrong-import-position

LIMIT = 240


def stop(*_):
    raise SystemExit('the demonstration was stopped or took too long')


def tell_alert(clock, receiver, alert):
    labels, notes = alert['labels'], alert['annotations']
    where = ' '.join(f'{name}={value}' for name, value in sorted(labels.items()) if name not in ('alertname', 'job'))
    lines = [f'[{clock():5.1f} s] -> {receiver}: {labels["alertname"]}', '    ' + where, '    ' + notes['summary']]
    for line in notes['description'].splitlines():
        lines.append(textwrap.fill(line, 110, initial_indent='    | ', subsequent_indent='    |   ',
                                   break_long_words=False))
    print('\n'.join(lines), flush=True)


def summary(stage):
    print('\nReached the webhook:')
    for receiver, labels in sorted(stage.reached(), key=lambda entry: (entry[0], entry[1]['alertname'], entry[1]['port'])):
        print(f'    {receiver:8} {labels["alertname"]:30} port {labels["port"]:6} {labels.get("instance", "")}')
    print('Fired, and inhibited by the Alertmanager because an alert above says more:')
    for labels in stage.alertmanager.suppressed():
        print(f'             {labels["alertname"]:30} port {labels["port"]:6} {labels["instance"]}')
    print('The remedy hook would restart (dry run): ' + (', '.join(sorted(stage.remedy.would_restart())) or 'nothing'))
    print(f'Messages: {dict(stage.webhook.messages)}')


def play(clock):
    def say(text):
        print(f'[{clock():5.1f} s] {text}', flush=True)

    with night.Night(say, lambda receiver, alert: tell_alert(clock, receiver, alert)) as stage:
        stage.play()
        say('the hosts are done; waiting for the alerts')
        stage.wait_for_alerts()
        complaints = stage.complaints()
        summary(stage)
        return [f'{what}: {line}' for what, lines in complaints.items() for line in lines]


def main():
    if not netns.is_usable():
        print('the demonstration creates network namespaces: run it as root')
        return 1
    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.alarm(LIMIT)
    netns.sweep()
    print('To take a minute instead of an hour, these settings differ from the shipped ones:')
    print(''.join(f'    {change}\n' for change in monitoring.CHANGES), flush=True)
    clock = monitoring.Clock()
    complaints = play(clock)
    print(f'\n{clock():.0f} seconds. ' + ('\n'.join(complaints) or 'All expected alerts came, and no other.'))
    return 1 if complaints else 0


if __name__ == '__main__':
    sys.exit(main())
