"""What a person types instead of a step, in Markdown; the generated pages under docs/runbooks define the words used here.

`kubectl` stands for kubectl with an administrator's kubeconfig, `etcdctl` for etcd's own, asked on the host: see `runbooks.pages`.
"""

from __future__ import annotations


def shell(*lines: str) -> str:
    r"""Return ``lines`` as a block to type, with room around it.

    >>> "Look:" + shell("ip -br link")
    'Look:\n\n    ip -br link\n\n'
    """
    return "\n\n" + "\n".join(f"    {line}" for line in lines) + "\n\n"
