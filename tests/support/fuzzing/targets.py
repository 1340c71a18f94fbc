"""All targets by name."""

from __future__ import annotations

from fuzzing.http import HTTP
from fuzzing.parsers import PLAIN
from fuzzing.plugins import OF_PLUGINS
from fuzzing.rows import ROWS
from fuzzing.servers import SERVERS

TARGETS = {target.name: target for target in (*PLAIN, ROWS, HTTP, *SERVERS, *OF_PLUGINS)}
