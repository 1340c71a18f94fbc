"""What a URL becomes; and what every statement looks like that SQL Server is given."""

from __future__ import annotations

import subprocess
import sys

import pytest
from keysvc_mssql import open_mssql
from keysvc_mssql.connecting import Server
from sqlalchemy.dialects import mssql
from sqlalchemy.schema import CreateIndex, CreateTable

from keysvc.plugin import ConfigurationError, Location, MappingStoreUnavailable, Opening, SecretText
from keysvc.plugin.loading import Plugins
from keysvc.stores import schema
from keysvc.stores.sql_changes import _reencrypt

DIALECT = mssql.dialect(deprecate_large_types=True)
OLD = (" VARCHAR", " TEXT", " DATETIME ", "IMAGE", "ROWVERSION", "TIMESTAMP")


def words(url: str, password: str | None = None) -> dict[str, str]:
    server = Server.of(Location.parse(url), SecretText(password) if password else None)
    return dict(pair.split("=", 1) for pair in server.connection_string.reveal().split(";"))


def test_the_least_url_is_encrypted_strictly_and_signs_on_to_windows():
    assert words("mssql://sql.example/keysvc") == {
        "Server": "sql.example", "Database": "keysvc", "Encrypt": "strict", "KeepAlive": "10", "KeepAliveInterval": "5",
        "ConnectRetryCount": "0",
        "Trusted_Connection": "yes",
    }  # fmt: skip


def test_a_user_and_a_password_are_taken_whatever_they_hold():
    found = words("mssql://us%40er:p%7Dw%25@sql.example:1434/keysvc?Encrypt=no&trustservercertificate=yes")
    assert (found["UID"], found["PWD"], found["Server"]) == ("{us@er}", "{p}}w%}", "{sql.example,1434}".strip("{}"))
    assert (found["Encrypt"], found["TrustServerCertificate"], "Trusted_Connection" in found) == ("no", "yes", False)
    assert words("mssql://keysvc@sql.example/keysvc", "from elsewhere")["PWD"] == "{from elsewhere}"


def test_an_instance_is_named_behind_its_host():
    assert words("mssql://sql.example%5CSSO/keysvc")["Server"] == "sql.example\\SSO"


def test_entra_and_failover_are_passed_through():
    found = words(
        "mssql+pyodbc://x.example/keysvc?Authentication=ActiveDirectoryMSI&Failover_Partner=y&MultiSubnetFailover=yes"
    )
    assert (found["Authentication"], found["Failover_Partner"], found["MultiSubnetFailover"]) == (
        "ActiveDirectoryMSI",
        "y",
        "yes",
    )
    assert "Trusted_Connection" not in found
    assert found["Driver"] == "{ODBC Driver 18 for SQL Server}"


@pytest.mark.parametrize(
    "url",
    [
        "mssql:///keysvc",
        "mssql://host",
        "mssql://host/a/b",
        "mssql+other://h/d",
        "mssql://h:port/d",
        "mssql://h/d?Colour=red",
    ],
)
def test_a_url_that_is_not_understood_is_refused(url):
    with pytest.raises(ConfigurationError, match="mssql"):
        words(url)


def test_the_plugin_is_found_and_shows_no_password():
    found = Plugins().mapping_stores.open("mssql+mssqlpython://sa:hunter2@127.0.0.1:1/keysvc", pytest.fail, "")
    with pytest.raises(MappingStoreUnavailable) as caught:
        found.epoch()
    assert "hunter2" not in f"{caught.value!r}{caught.value}{found!r}"
    assert "127.0.0.1" in str(caught.value)


def test_a_keyword_that_the_package_does_not_know_is_one_clear_line():
    store = open_mssql(Opening(Location.parse("mssql://h/d?Failover_Partner=y"), pytest.fail, ""))
    with pytest.raises(ConfigurationError, match="failover_partner"):
        store.epoch()


def test_importing_the_plugin_imports_no_library_of_microsofts():
    code = "import sys, keysvc_mssql; sys.exit(bool({'mssql_python', 'pyodbc', 'sqlalchemy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_text_is_unicode_compared_exactly_and_times_are_datetime2():
    made = "".join(str(CreateTable(table).compile(dialect=DIALECT)) for table in schema.metadata.sorted_tables)
    assert "NVARCHAR(512) COLLATE Latin1_General_100_BIN2 NOT NULL" in made
    assert "DATETIME2(6)" in made
    assert "VARBINARY(max)" in made
    assert not [
        word for word in (" VARCHAR", " TEXT", " DATETIME ", "IMAGE", "ROWVERSION", "TIMESTAMP") if word in made
    ]


def test_no_key_is_clustered_because_a_clustered_one_ends_at_900_bytes():
    for table in (schema.applications, schema.mappings, schema.credentials):
        assert "PRIMARY KEY NONCLUSTERED" in str(CreateTable(table).compile(dialect=DIALECT))
        for index in table.indexes:
            assert "CLUSTERED" not in str(CreateIndex(index).compile(dialect=DIALECT))


def test_reencryption_locks_rows_not_pages():
    assert "WITH (UPDLOCK, ROWLOCK)" in str(_reencrypt.compile(dialect=DIALECT))
