"""A system in memory, for the tests of applications."""

from __future__ import annotations

import pytest

from keysvc.errors import NotFound
from keysvc.testing import memory_sso


def test_an_application_is_tested_on_the_real_code_in_memory() -> None:
    with memory_sso({"SAP": {"alice": {"Password": "x"}}, "CRM": {"bob": {"PIN": "1"}}}) as sso:
        assert sso.credential("SAP", user="alice")["password"].reveal() == "x"
        sso.set_credential("SAP", user="alice", password="y")
        assert sso.credential("SAP", user="alice")["password"].reveal() == "y"
        assert sso.credential("CRM", user="bob").external_user == "bob"
        with pytest.raises(NotFound):
            sso.credential("SAP", user="bob")
