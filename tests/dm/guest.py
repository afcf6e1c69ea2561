# SPDX-License-Identifier: GPL-2.0-only
"""A file of tests in a guest of its own: how it is booted, and what its kernel may not say.

A file of tests says what its guest is like by assignments of constants: DISKS (sizes), MEMORY, LIMIT_S
(seconds), ALL_LIMIT_S (the same with the tests that take long); HOST = True: it runs outside and boots guests
itself, on the CPU DM_CPU.
"""
import ast
import os
import re

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INSIDE = os.path.exists('/host/ctl')  # a guest
ALL = os.environ.get('DM_ALL') == '1'  # in the guest: the tests that take long, too
DEFAULTS = {'DISKS': (), 'MEMORY': '2G', 'LIMIT_S': 400, 'ALL_LIMIT_S': 900, 'HOST': False}
# What no test may provoke.
FATAL = re.compile(r'\bBUG\b|\bWARNING:|\bOops\b|blocked for more than|Kernel panic|Call Trace|general protection|'
                   r'possible recursive locking|INFO: task|list_(add|del) corruption|Internal error|XFS_WANT_CORRUPTED')
# What a test must have expected (KernelLog.expected): damage and lost writes.
UNEXPECTED = re.compile(r'I/O error|Corruption|corrupt|EXT4-fs error|Shutting down filesystem|Invalidating snapshot|'
                        r'critical (target|medium|space)|Remounting filesystem read-only')


def complaints(text, expected=()):
    """Lines of a kernel log that should not be there."""
    return [line for line in text.splitlines()
            if FATAL.search(line) or (UNEXPECTED.search(line) and not any(part in line for part in expected))]


def constants(path):
    """What a file of tests wants of its guest."""
    with open(path, encoding='utf-8') as f:
        module = ast.parse(f.read())
    found = dict(DEFAULTS)
    for node in module.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') in DEFAULTS:
            found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


def limit_s(path, everything):
    """Seconds a file of tests may take."""
    return constants(path)['ALL_LIMIT_S' if everything else 'LIMIT_S']


def command(path, share, cpu, seconds, everything):
    """Command that boots a guest and runs that file of tests in it.

    share: directory for report.xml and the kernel's log (console). everything: the tests that take long, too.
    """
    wanted = constants(path)
    env = ['env', f'DM_ALL={int(everything)}', f'DM_CPU={cpu}']
    pytest = ['/usr/bin/python3', '-m', 'pytest', '-q', '-p', 'no:cacheprovider',
              '--junitxml', os.path.join(share, 'report.xml'), '-o', f'faulthandler_timeout={seconds - 10}', path]
    if wanted['HOST']:
        return env + pytest
    argv = [os.path.join(TREE, 'scripts', 'vm-run'), '--mem', wanted['MEMORY'], '--cpu', str(cpu),
            '--timeout', str(seconds), '--log', os.path.join(share, 'console'), '--share', share]
    for size in wanted['DISKS']:
        argv += ['--disk', size]
    return argv + ['--'] + env + pytest


def fatal(share):
    """Lines of the kernel's log of a guest that has ended, which no test may provoke."""
    try:
        with open(os.path.join(share, 'console'), encoding='utf-8', errors='replace') as f:
            return [line for line in f.read().splitlines() if FATAL.search(line)]
    except FileNotFoundError:
        return []  # it never ran, or was not in a guest
