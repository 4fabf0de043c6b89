import pytest

from runbooks.engine.session import Options, Session
from tests.support import ROOT
from tests.support.api_server import certificates
from tests.support.fakes import without_waiting


@pytest.fixture
def slept():
    """Retries take no time; the pauses that would have been made, in seconds."""
    with without_waiting() as pauses:
        yield pauses


@pytest.fixture
def opened(store, tmp_path, monkeypatch):
    """Sessions on the example site, to whose hosts nothing may connect."""
    (tmp_path / "hosts.yaml").write_text((ROOT / "hosts.yaml").read_text())
    monkeypatch.setenv("RUNBOOKS_SITE", str(tmp_path / "hosts.yaml"))

    def open_one(**options) -> Session:
        one = Session(Options(**options))
        one.site = store.site
        return one

    return open_one


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """Return a directory with a CA and the certificates of a stand-in API server and its client."""
    directory = tmp_path_factory.mktemp("pki")
    certificates(directory)
    return directory
