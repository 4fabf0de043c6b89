"""A measurement on a real server on loopback, in this process, at a quick pace."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from runbooks.measure.plan import STOP, Plan
from runbooks.measure.process import Measurement
from runbooks.measure.record import read
from tests.support.api_server import kubeconfig, serving

EVERY_MS = 20.0
TIMEOUT_S = 5.0  # on a machine that is busy, nothing is to be taken for a hang that is none


@pytest.fixture
def api(pki):
    with serving(pki) as server:
        yield server


@pytest.fixture
def plan(api, pki, tmp_path):
    return Plan(
        name="loopback",
        example=False,
        lab=None,
        address="127.0.0.1",
        port=api.port,
        object="measured",
        result=str(tmp_path / "result.json"),
        kubeconfig=kubeconfig(pki),
        every_ms=EVERY_MS,
        servers_every_ms=EVERY_MS * 2,
        timeout_s=TIMEOUT_S,
        niceness=os.nice(0),
    )


@pytest.fixture
def measured(plan, api, monkeypatch):
    """Measure while ``during`` (a coroutine function) runs, once the first write and the watch are there; return the written result."""

    monkeypatch.setattr("runbooks.measure.cluster.DELETE_S", 1.0)
    monkeypatch.setattr("runbooks.measure.writer.CONFIRM_S", 0.5)

    def run(during, **changes):
        async def both():
            async def told():
                while not {"PUT", "WATCH"} <= {each.split()[0] for each in api.asked}:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.3)
                await during()
                await asyncio.sleep(0.3)
                return STOP

            await Measurement(replace(plan, **changes)).run(asyncio.create_task(told()))

        asyncio.run(asyncio.wait_for(both(), 300))
        return read(Path(plan.result))

    return run


@pytest.fixture
def last_reads_are_short(monkeypatch):
    """For a test at whose end there is no good answer to wait for."""
    monkeypatch.setattr("runbooks.measure.process.LAST_S", 0.5)


@pytest.fixture
def nothing():
    async def during():
        await asyncio.sleep(0.2)

    return during
