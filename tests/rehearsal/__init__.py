"""One journey on a version of Kubernetes, from empty hosts to expired certificates; its results are the table in docs/versions.md.

Outside CI, which has no other version than Debian's: `scripts/rehearse-versions`.
"""
