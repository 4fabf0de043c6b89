"""What clients of the VIP see while a procedure runs: measured by a process of its own on the operator's machine.

`start` begins and ends that process; `process` is what it runs; `rules` turns what it saw into figures, verdicts and findings.
"""
