"""URLs of RFC 7512: what is taken, and what is refused with a word about what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from keysvc_pkcs11.uri import TokenURI

from keysvc.plugin import ConfigurationError, Location
from keysvc.plugin.loading import Plugins

MODULE = "module-path=/usr/lib/softhsm/libsofthsm2.so"


def parse(path: str, query: str = MODULE) -> TokenURI:
    return TokenURI.parse(f"pkcs11:{path}?{query}")


def test_a_url_names_library_token_key_and_pin() -> None:
    query = f"{MODULE}&pin-source=file:/etc/keysvc/pin&timeout=2.5"
    uri = parse("token=prod;serial=0123;object=keysvc;id=%01%ff", query)
    assert uri.module == "/usr/lib/softhsm/libsofthsm2.so"
    assert uri.matching == {"token": "prod", "serial": "0123"}
    assert (uri.key_label, uri.key_id) == ("keysvc", b"\x01\xff")
    assert uri.pin_source == "file:/etc/keysvc/pin"
    assert uri.timeout == 2.5
    assert not uri.allow_extractable


def test_every_path_attribute_of_the_standard_is_known() -> None:
    every = (
        "token=a;manufacturer=b;serial=c;model=d;library-manufacturer=e;library-description=f;library-version=3.1;"
        "slot-manufacturer=g;slot-description=h;slot-id=7;object=i;id=j;type=secret-key"
    )
    uri = parse(every)
    assert uri.slot_id == 7
    assert uri.matching["library-version"] == "3.1"


def test_values_are_percent_decoded_and_a_plus_stays_a_plus() -> None:
    uri = parse("token=My%20Token%3b1;object=a+b%C3%A9", "module-path=/opt/a+b/lib%20x.so")
    assert uri.matching["token"] == "My Token;1"
    assert uri.key_label == "a+bé"
    assert uri.module == "/opt/a+b/lib x.so"


def test_keysvc_understands_such_a_url_and_shows_it() -> None:
    url = "pkcs11:token=prod;object=keysvc?module-path=/usr/lib/x.so&pin-source=file:/etc/pin"
    location = Location.parse(url)
    assert location.scheme == "pkcs11"
    assert location.path == "token=prod;object=keysvc"
    assert str(location) == url


def test_the_plugin_is_found_and_its_library_is_not_imported() -> None:
    import subprocess
    import sys

    program = (
        "import sys; from keysvc.plugin.loading import Plugins; r = Plugins().key_stores.registrations['pkcs11'];"
        "assert 'pkcs11' not in sys.modules; print(r.plugin)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "pkcs11\n"
    assert not any(report.problem for report in Plugins().reports if report.name == "pkcs11")


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("token=t;object=o;pin-value=1234", MODULE, "pin-value is refused"),
        ("token=t;object=o", f"{MODULE}&pin-value=1234", "pin-value is refused"),
        ("token=t;token=u;object=o", MODULE, "token is given twice"),
        ("token=t;object=o", f"{MODULE}&{MODULE}", "module-path is given twice"),
        ("token=t;object=o;colour=red", MODULE, "no attribute 'colour'"),
        ("token=t;object=o", f"{MODULE}&colour=red", "no attribute 'colour'"),
        ("token=t;object", MODULE, "not percent-encoded"),
        ("token=t%2;object=o", MODULE, "not percent-encoded"),
        ("token=%ff;object=o", MODULE, "not UTF-8"),
        ("object=o", MODULE, "names no token"),
        ("slot-id=3;object=o", MODULE, "slot numbers move"),
        ("token=t;object=o;slot-id=x", MODULE, "decimal"),
        ("token=t;object=o;slot-id=4294967296", MODULE, "decimal"),
        (f"token=t;object=o;slot-id={'9' * 5000}", MODULE, "decimal"),
        ("token=t", MODULE, "names no key"),
        ("token=t;object=", MODULE, "names no key"),
        ("token=t;object=o;type=private", MODULE, "secret key"),
        ("token=t;object=o", "", "module-path or module-name"),
        ("token=t;object=o", f"{MODULE}&module-name=softhsm2", "not both"),
        ("token=t;object=o", "module-path=lib/x.so", "absolute"),
        ("token=t;object=o", "module-name=../x", "without a path"),
        ("token=t;object=o", "module-name=nobody-has-this", "nobody-has-this"),
        ("token=t;object=o", f"{MODULE}&pin-source=1234", "pin-source is file:"),
        ("token=t;object=o", f"{MODULE}&pin-source=file:pin", "pin-source is file:"),
        ("token=t;object=o", f"{MODULE}&allow-extractable-kek=perhaps", "yes or no"),
        ("token=t;object=o", f"{MODULE}&timeout=0", "seconds"),
        ("token=t;object=o", f"{MODULE}&timeout=soon", "seconds"),
    ],
)
def test_what_is_refused_is_said_in_one_line_without_the_pin(path: str, query: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        parse(path, query)
    assert "1234" not in f"{refused.value} {refused.value.hint}"
    assert "\n" not in str(refused.value)


def test_a_library_is_found_by_its_name(softhsm_module: str) -> None:
    uri = parse("token=t;object=o", "module-name=softhsm2")
    assert Path(uri.module).samefile(softhsm_module)
