# SPDX-License-Identifier: GPL-2.0-only
"""Proof that a clone has everything the donor acknowledged, nothing torn, nothing else.

load.py fills a donor, writer.py writes to it and records what was acknowledged, prove.py checks a clone
(checks_files.py before its first start, checks_server.py after it). scripts/prove is the command.
"""
