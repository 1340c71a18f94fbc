"""Join tokens that somebody kept, against a running server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attackers import Attacked

from keysvc.errors import AccessDenied
from keysvc.master.join_token import JoinToken
from keysvc.web.master.client import join


def test_a_token_does_not_outlive_the_revocation_of_its_name_and_can_be_cancelled(
    attacked: Attacked, tmp_path: Path
) -> None:
    attacked.serve()

    def token(role: str) -> JoinToken:
        return JoinToken.parse(json.loads(attacked("server", "enroll", "eve", "--role", role, "--json").out)["token"])

    def redeemed(kept: JoinToken, to: str) -> bool:
        try:
            join(attacked.url, kept, tmp_path / to)
        except AccessDenied as error:
            return "cancelled" not in str(error)
        return True

    first, kept = token("server"), token("administrator")
    assert redeemed(first, "first")
    listed = json.loads(attacked("server", "tokens", "--json").out)
    assert [(each["name"], each["role"]) for each in listed] == [("eve", "administrator")]
    assert kept.secret.reveal() not in attacked("server", "tokens").out
    attacked("server", "revoke", "eve")
    assert not redeemed(kept, "revoked")
    assert json.loads(attacked("server", "tokens", "--json").out) == []
    again = token("server")
    assert "cancelled 1 join token of eve" in attacked("server", "cancel", "eve").out
    assert not redeemed(again, "cancelled")
    assert "not-found" in attacked("server", "cancel", "eve", ok=False).err
    assert attacked.stored("eve").revoked_at is not None
    assert redeemed(token("server"), "last")
    assert attacked.stored("eve").revoked_at is None
    with pytest.raises(AccessDenied):
        join(attacked.url, first, tmp_path / "again")
