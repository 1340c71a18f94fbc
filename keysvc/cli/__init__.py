"""The command line. `keysvc.cli.commands` is the tree of commands; most modules have a group of them."""

from __future__ import annotations

import os
import sys
from collections import abc
from pathlib import Path

from keysvc.crypto.memory import harden_process
from keysvc.errors import KeysvcError

INTERRUPTED = 130


def main() -> None:
    """The console script. Exit status 0 done, 1 refused or failed, 2 wrong usage."""
    harden_process()
    try:
        _run(sys.argv[1:])
    except KeysvcError as error:
        sys.exit(_say(error.code, str(error), error.hint))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("KEYSVC_TRACEBACK"):
            raise
        sys.exit(_say("internal", f"{type(error).__name__}", "set KEYSVC_TRACEBACK=1, run it again and report this"))


def _run(arguments: abc.Sequence[str]) -> None:
    """What is only to be served needs no parser of commands: a process that lasts would keep its 10 MiB for nothing."""
    match arguments:
        case [("serve" | "agent") as service]:
            _serve(service, None)
        case ["--config", path, ("serve" | "agent") as service] | [("serve" | "agent") as service, "--config", path]:
            _serve(service, Path(path))
        case _:
            from keysvc.cli import commands

            commands.run()


def _serve(service: str, config: Path | None) -> None:
    from keysvc.cli import services

    services.SERVICES[service](config)


def _say(code: str, what: str, hint: str) -> int:
    sys.stderr.write(f"error: {code}: {what}; {hint}\n")
    return 1
