"""The measuring process as a procedure starts it: a process of its own, which never outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from runbooks.commands.base import Secret
from runbooks.errors import OutcomeError, PrecheckError
from runbooks.measure import start
from runbooks.measure.record import read
from runbooks.measure.rules.verdict import data
from runbooks.measure.start import measuring, plan_for
from tests.support import ROOT
from tests.support.fakes import example, site

pytestmark = pytest.mark.unit


class Loopback:
    """What the guard asks of a site, for a server on loopback."""

    name, example, lab = "loopback", False, None


PARENT = """
import signal, sys, msgspec
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
from pathlib import Path
from runbooks.measure.plan import Plan
from runbooks.measure.start import measuring
from tests.unit.measure.test_start import Loopback

with measuring(Loopback, msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)) as begun:
    print(begun.process.pid, flush=True)
    begun.process.wait()
"""


def eventually(true, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pid):
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def parent(plan):
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    process.stdin.write(msgspec.json.encode(plan))
    process.stdin.close()
    return process, int(process.stdout.readline())


def test_it_measures_beside_the_block_and_ends_with_it(plan, api):
    with measuring(Loopback, plan) as begun:
        assert not begun.seen().complete
        assert begun.process.pid != os.getpid()
        eventually(lambda: len(api.asked) > 50)
        result = begun.stop()
    assert begun.process.returncode == 0
    assert result.complete
    assert result == read(Path(plan.result))
    assert result.vip.requests >= 1
    assert data(result).word == "held"
    assert (api.store.objects, api.store.spaces) == ({}, set())


def test_no_secret_is_on_its_command_line_in_its_environment_or_on_a_disk(plan):
    with measuring(Loopback, plan) as begun:
        process = Path(f"/proc/{begun.process.pid}")
        key = next(line for line in plan.kubeconfig.splitlines() if "client-key-data" in line).split()[-1]
        assert (process / "cmdline").read_bytes() == f"{sys.executable}\0-m\0runbooks.measure.process\0".encode()
        assert key.encode() not in (process / "environ").read_bytes()
        opened = [str(each.readlink()) for each in (process / "fd").iterdir()]
        assert [each for each in opened if each.startswith("/memfd")] == []  # read by OpenSSL and closed
        assert key not in repr(begun)
        begun.stop()
    assert key.encode() not in Path(plan.result).read_bytes()


def test_an_error_in_the_block_ends_it_and_leaves_what_was_seen(plan, api):
    with pytest.raises(OutcomeError, match="no good"), measuring(Loopback, plan) as begun:
        raise OutcomeError("no good")
    assert begun.process.returncode == 0
    assert api.store.spaces == set()
    result = read(Path(plan.result))
    assert not result.complete
    assert data(result).word == "could not tell"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_its_parent_and_leaves_nothing(plan, api, number):
    """SIGKILL, too: its input ends. It deletes what it has created, and the result says that it is not complete."""
    process, pid = parent(plan)
    eventually(lambda: len(api.asked) > 30)
    process.send_signal(number)
    process.wait(120)
    process.stdout.close()
    eventually(lambda: gone(pid))
    assert (api.store.objects, api.store.spaces) == ({}, set())
    assert not read(Path(plan.result)).complete


def test_it_ends_with_its_parent_when_the_server_hangs(plan, api):
    process, pid = parent(replace(plan, timeout_s=0.6))
    eventually(lambda: len(api.asked) > 30)
    api.hang = True
    process.kill()
    process.wait(120)
    process.stdout.close()
    eventually(lambda: gone(pid), 120)


def test_ctrl_c_is_for_the_procedure(plan):
    """The terminal sends it to the group of the procedure, which this process is not in."""
    with measuring(Loopback, plan) as begun:
        assert os.getpgid(begun.process.pid) != os.getpgid(0)
        begun.stop()


def test_a_process_that_is_killed_is_no_result(plan, api):
    with measuring(Loopback, plan) as begun:
        eventually(lambda: len(api.asked) > 30)
        begun.process.kill()
        with pytest.raises(OutcomeError, match="its process exited -9") as raised:
            begun.stop()
    assert raised.value.hint == "kubectl delete namespace measured --ignore-not-found"
    assert data(read(Path(plan.result))).word == "could not tell"


def test_why_it_cannot_begin_is_said(plan, api):
    api.status = 401
    with pytest.raises(PrecheckError, match="HTTP 401") as raised, measuring(Loopback, plan):
        pytest.fail("it began")
    assert "cluster.verify" in raised.value.hint
    assert not Path(plan.result).exists()


def test_neither_the_example_nor_a_lab_from_outside_is_measured(plan, api):
    class Example(Loopback):
        example = True

    with pytest.raises(PrecheckError, match="example site"), measuring(Example, plan):
        pytest.fail("it began")
    assert api.asked == []


def test_the_plan_of_a_site(tmp_path):
    plan = plan_for(site(), Secret("kind: Config"), tmp_path / "r.json", {"etcd": "3.6.8"})
    assert (plan.address, plan.port) == (str(site().endpoint.vip), site().endpoint.port)
    assert plan.servers == {host.name: (str(host.address), 6443) for host in site().control_plane}
    assert plan.object.startswith("ha-runbooks-measure-")
    assert plan.object != plan_for(site(), Secret(""), tmp_path / "r.json").object
    assert "Config" not in repr(plan)
    assert plan_for(example(), Secret(""), tmp_path / "r.json").example
    assert msgspec.json.decode(msgspec.json.encode(plan), type=start.Plan) == plan
