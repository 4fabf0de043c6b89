import pytest

from tests.unit.fakes import without_waiting


@pytest.fixture
def slept():
    """Retries take no time; the pauses that would have been made, in seconds."""
    with without_waiting() as pauses:
        yield pauses
