"""One slapd for all tests, and one to kill."""

from __future__ import annotations

from collections import abc

import pytest
import trustme
from slapd import Slapd, running


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def slapd(authority: trustme.CA) -> abc.Iterator[Slapd]:
    with running(authority) as made:
        yield made


@pytest.fixture
def mortal_slapd(authority: trustme.CA) -> abc.Iterator[Slapd]:
    """One that the test may kill."""
    with running(authority) as made:
        yield made
