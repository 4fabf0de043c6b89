"""How often clients are asked for."""

import asyncio
from contextlib import suppress
from time import time

import pytest

from runbooks.measure.connection import Client
from runbooks.measure.credentials import tls
from runbooks.measure.plan import EVERY_MS, QUICK
from runbooks.measure.requests import Common, Requests
from runbooks.measure.rules.objects import Place
from runbooks.measure.rules.pace import CALM_S, Pace
from runbooks.measure.rules.register import Register

pytestmark = pytest.mark.unit


def test_it_is_quick_from_a_trouble_on_until_a_while_after_the_last_one():
    pace = Pace(0.25, 0.125)
    assert pace.interval(100) == 0.25
    pace.trouble(100)
    assert [pace.interval(at) for at in (100, 100 + CALM_S - 0.1, 100 + CALM_S)] == [0.125, 0.125, 0.25]
    pace.trouble(200)
    pace.trouble(200.5)
    assert [pace.interval(200 + CALM_S + more) for more in (0.4, 0.5)] == [0.125, 0.25]


@pytest.mark.parametrize("fault", ["hangs", "fails"])
def test_it_asks_more_often_while_nothing_is_answered(measured, api, fault):
    """With the shipped intervals: 5 s of trouble between quiet times."""

    async def during():
        await asyncio.sleep(1)
        times.append(time())
        switch(True)
        await asyncio.sleep(5)
        times.append(time())
        switch(False)
        asked = len(api.asked)
        while len(api.asked) < asked + 12:  # some of them begin when the first ones are answered
            await asyncio.sleep(0.02)
        times.append(time())
        await asyncio.sleep(1)

    def switch(bad):
        if fault == "hangs":
            api.hang = bad
        else:
            api.status = 500 if bad else 0

    times = []
    result = measured(during, every_ms=EVERY_MS, quick=QUICK)
    began, over, served = times
    quiet, quick = EVERY_MS / 1000, EVERY_MS / 1000 / QUICK
    assert result.quick_ms == quick * 1000
    # 2.6 quiet seconds, of which one is still quick; a busy machine leaves some out, which is said, and is longer in trouble.
    most = (served - began) / quick + (result.ended_s - result.began_s - (served - began)) / quiet + 12
    assert 5 / quiet + 2.6 / quiet + 4 < result.vip.requests + result.itself.missed <= most
    gap = max((each for each in result.vip.gaps if each.begin_s < over < each.end_s), key=lambda each: each.ms)
    assert result.vip.longest_gap_ms == gap.ms > 5000 - 2 * EVERY_MS - 100 - result.itself.longest_pause_ms
    assert gap.end_s < served


def test_what_was_begun_is_forgotten_when_a_measurement_is_abandoned(plan, api):
    """Its object is deleted then; a read that is answered after that would look like a loss."""
    context, headers = tls(plan.kubeconfig)
    common = Common(
        client=Client(plan, context, headers),
        place=Place(plan.object),
        register=Register(0),
        address=plan.address,
        port=plan.port,
        pace=Pace(0.02, 0.02),
        timeout_s=5,
    )

    async def abandoned():
        api.hang = True
        running = asyncio.create_task(Requests(common, "VIP", plan.address, plan.port, common.pace).run())
        while len(api.asked) < 3:
            await asyncio.sleep(0.02)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        api.hang = False
        answered = len(api.asked)
        await asyncio.sleep(0.3)
        return answered

    assert asyncio.run(abandoned()) >= 3
    assert common.register.reads == 0
