"""A page in an administrator's browser, which shows his certificate for it, changes nothing."""

from __future__ import annotations

from sites import Site
from strangers import administrator, asked

ROTATE = "POST /v1/rotations HTTP/1.1\nHost: keysvc\nConnection: close\n"
CROSS_SITE = {
    "a form": ("Origin: https://evil.example\nContent-Type: text/plain\nContent-Length: 2\n\n", b"{}", b"403"),
    "a form without an origin": ("Content-Type: text/plain\nContent-Length: 2\n\n", b"{}", b"400"),
    "a form of a sandboxed page": ("Origin: null\nContent-Length: 0\n\n", b"", b"403"),
    "a request that names its site": ("Sec-Fetch-Site: cross-site\nContent-Length: 0\n\n", b"", b"403"),
}


def test_what_a_page_of_another_site_sends_does_not_rotate(site: Site) -> None:
    site.serve()
    for headers, body, status in CROSS_SITE.values():
        with administrator(site) as connection:
            answer = asked(connection, ROTATE + headers, body)
        assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert [version["version"] for version in site.state()["versions"]] == [1]


def test_a_request_whose_body_does_not_end_does_not_rotate(site: Site) -> None:
    site.serve()
    for body in ("Content-Length: 2\n\n", "Transfer-Encoding: chunked\n\n0\nA: b\n\n"):
        with administrator(site) as connection:
            connection.sendall((ROTATE + body).replace("\n", "\r\n").encode())
    assert [version["version"] for version in site.state()["versions"]] == [1]
