"""What a URL may say, and how a mistake is told."""

from __future__ import annotations

import subprocess
import sys

import pytest
from slapd import open_url

from keysvc.plugin import ConfigurationError

BASE = "dc=example,dc=com"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        (f"ldaps://dc.example.com/{BASE}", f"ldaps://dc.example.com/{BASE}"),
        (f"ldaps://dc.example.com:1636/{BASE}?groups=memberof", f"ldaps://dc.example.com:1636/{BASE}"),
        ("ldap://dc.example.com/ou=a%20b,dc=com?domain=NORDWIND", "ldap://dc.example.com/ou=a b,dc=com"),
        (f"ldap://[::1]:389/{BASE}?seconds=2.5", f"ldap://[::1]:389/{BASE}"),
        (f"ldapi:///{BASE}", f"ldapi:///{BASE}"),
        (f"ldapi://%2Frun%2Fldapi/{BASE}", f"ldapi://%2Frun%2Fldapi/{BASE}"),
    ],
)
def test_a_url_names_the_directory(url: str, server: str) -> None:
    assert repr(open_url(url)._part) == f"LDAPAuthorizer({server})"


@pytest.mark.parametrize(
    "url",
    [
        "ldaps://dc.example.com",
        "ldaps://dc.example.com/",
        f"ldaps:///{BASE}",
        f"ldaps://dc.example.com:99999/{BASE}",
        f"ldaps://anna@dc.example.com/{BASE}",
        f"ldaps://dc.example.com/{BASE}#x",
        f"ldaps://dc.example.com/{BASE}?groups=guess",
        f"ldaps://dc.example.com/{BASE}?seconds=0",
        f"ldaps://dc.example.com/{BASE}?seconds=soon",
        f"ldaps://dc.example.com/{BASE}?seconds=61",
        f"ldaps://dc.example.com/{BASE}?user-attribute=uid)(cn",
        f"ldaps://dc.example.com/{BASE}?group-attribute=",
        f"ldaps://dc.example.com/{BASE}?ca-file=relative.pem",
        f"ldaps://dc.example.com/{BASE}?ca-file=/not/there.pem",
        f"ldaps://dc.example.com/{BASE}?verify=no",
        f"ldapi://run/{BASE}",
        f"ldapi:///{BASE}?ca-file=/etc/ssl/cert.pem",
        f"ldap+tcp://dc.example.com/{BASE}?verify=no",
        f"ldaps://dc.example.com/{BASE}?bind-dn=cn%3Dx&password-source=file:/not/there",
    ],
)
def test_an_unusable_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        open_url(url)


def test_installing_it_imports_no_driver() -> None:
    code = "import keysvc_ldap, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"ldap", "_ldap"} & set(loaded)
