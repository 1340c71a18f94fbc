"""Whatever the bytes are, reading ends in definitions or in InvalidInput of one line."""

from __future__ import annotations

from collections import abc

import pytest
from hypothesis import given, settings, strategies as st

from keysvc.entsso.reading import read, read_applications, read_mappings
from keysvc.errors import InvalidInput

READERS = (read, read_applications, read_mappings)
NASTY = [
    b"<", b">", b"&", b'"', b"]]>", b"<![CDATA[", b"<!--", b"<!DOCTYPE a [", b"<!ENTITY a 'b'>", b"&#0;", b"&#xD800;",
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"yes", b"-1", b"\\", b";", b"<sso>", b"</sso>", b"<flags ",
    b'encoding="utf-7"', b"&#133;", b"<?x y?>", b"xmlns:a='b' ", b"\r", b" " * 300,
]  # fmt: skip


def read_by_all(content: bytes) -> None:
    messages = []
    for reader in READERS:
        try:
            reader(content, "x.xml")
        except InvalidInput as error:
            messages.append(str(error))
    assert [m for m in messages if not (m.startswith("x.xml line ") and m.isprintable())] == []


@pytest.fixture(scope="session")
def originals(sample: abc.Callable[[str], bytes]) -> list[bytes]:
    names = ["applications.xml", "global-info.xml", "mappings-delete.xml"]
    found = [sample(name) for name in names]
    return found + [text.decode().replace("utf-8", "utf-16").encode("utf-16") for text in found]


@given(content=st.binary(max_size=300))
@settings(deadline=None, max_examples=300)
def test_random_bytes_are_refused_in_one_line(content: bytes) -> None:
    read_by_all(content)


@given(data=st.data())
@settings(deadline=None, max_examples=400)
def test_a_mutated_sample_is_read_or_refused_in_one_line(originals: list[bytes], data: st.DataObject) -> None:
    content = data.draw(st.sampled_from(originals))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 12) | st.integers(0, len(content)))
        insert = data.draw(st.sampled_from(NASTY) | st.binary(max_size=4))
        content = content[:start] + insert + content[start + length :]
    read_by_all(content)
