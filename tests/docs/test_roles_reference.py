"""docs/reference/roles.md has the table that is enforced. `python tests/docs/test_roles_reference.py` writes it."""

from __future__ import annotations

import re
from pathlib import Path

from keysvc.model import Role
from keysvc.sso.permissions import SSORole, matrix

PAGE = Path(__file__).parents[2] / "docs/reference/roles.md"
TABLE = re.compile(r"(?<=\n\n)\| operation \|.*?\n(?=\n)", re.DOTALL)


def test_the_table_is_the_one_that_is_enforced() -> None:
    (table,) = TABLE.findall(PAGE.read_text("utf-8"))
    assert table == f"{matrix()}\n"


def test_the_page_says_who_has_each_role_and_what_each_certificate_is() -> None:
    text = PAGE.read_text("utf-8")
    for role in SSORole:
        assert f"| **{role.value.replace('-', ' ')}** |" in text
    for certificate in Role:
        assert f"| `{certificate.value}` |" in text


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: f"{matrix()}\n", PAGE.read_text("utf-8")), "utf-8")
