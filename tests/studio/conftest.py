import pytest

from .browser import chromium


@pytest.fixture
def browser():
    with chromium() as opened:
        yield opened
        assert opened.errors() == []
