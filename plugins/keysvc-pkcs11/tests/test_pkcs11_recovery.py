"""The master secret moves into a token, from token to token, and comes back when a token is gone for good."""

from __future__ import annotations

import shutil

import pytest
from sites import Site, assert_every_credential_decrypts, with_credentials
from systems import run_keysvc


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, lambda *words, **more: run_keysvc(tmp_path, *words, **more))
    yield made
    made.end()


def other_token(softhsm, label: str) -> str:
    softhsm.add_token(label)
    return softhsm.url(path=f"token={label};object=keysvc")


def test_versions_move_from_a_file_into_a_token_to_another_kek_and_to_another_token(softhsm, site):
    site.init("--no-backup")
    with_credentials(site)
    for url in (softhsm.url(), softhsm.url(path="token=prod;object=kek-2027"), other_token(softhsm, "second")):
        assert "versions 1, 2" in site("secret", "reseal", "--to", url).out
    assert_every_credential_decrypts(site)
    assert not list(site.machine.directory.glob("secret/version-*"))
    for left in ("prod;object=keysvc", "prod;object=kek-2027"):
        assert (
            "version-not-found" in site("secret", "recover", "--from", softhsm.url(path=f"token={left}"), ok=False).err
        )


def test_a_token_that_is_deleted_for_good_is_recovered_from_a_second_protector_and_from_three_of_five_shares(
    softhsm, site, tmp_path
):
    site.init("--no-backup", "--key-store", softhsm.url())
    (tmp_path / "passphrase").write_text("a passphrase of some length\n", encoding="utf-8")
    (tmp_path / "passphrase").chmod(0o600)
    second = f"file://{tmp_path}/second?unlock=passphrase&passphrase-source=file:{tmp_path}/passphrase"
    make = ("--threshold", "3", "--of", "5", "--dir", tmp_path / "sealed", "--to-files", tmp_path / "paper")
    made = site("secret", "shares", *make).out
    site("secret", "protect", second)
    site("secret", "protect", next(line for line in made.splitlines() if line.startswith("shares:")))
    with_credentials(site)
    papers = [word for path in sorted((tmp_path / "paper").iterdir())[1:4] for word in ("--share-file", path)]
    for source in (("--from", second), ("--from-shares", *papers)):
        shutil.rmtree(softhsm.tokens)
        softhsm.tokens.mkdir()
        softhsm.add_token("prod")
        assert "5 of today's credentials were decrypted" in site("secret", "recover", *source).out
        assert_every_credential_decrypts(site)
