"""msgspec learns the classes that it decodes into in one thread: two at once crash the process."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted([*ROOT.glob("keysvc/**/*.py"), *ROOT.glob("plugins/*/keysvc_*/**/*.py")])
CLASSES_OF_DECODERS = """
import dataclasses, sys, threading
import msgspec

sys.setswitchinterval(1e-6)
for number in range(400):
    inner = dataclasses.make_dataclass("Inner", [("x", int), ("y", str)])
    fields = [("inner", inner), ("a", int), ("b", str), ("more", tuple[inner, ...], ())]
    outer = dataclasses.make_dataclass("Outer", fields)
    msgspec.json.Decoder(outer)
    start = threading.Barrier(4)

    def convert():
        start.wait()
        msgspec.convert([{"inner": {"x": 1, "y": ""}, "a": 1, "b": ""}], list[outer])

    threads = [threading.Thread(target=convert) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_a_class_that_has_a_decoder_may_be_converted_to_by_several_threads_at_once() -> None:
    assert subprocess.run([sys.executable, "-c", CLASSES_OF_DECODERS], check=False).returncode == 0


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_makes_its_decoders_while_it_is_imported(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    decoded, converted = of_class(calls, "msgspec.json.decode"), of_class(calls, "msgspec.convert")
    assert not decoded, "msgspec.json.decode learns the class when it is called: make a Decoder of the module"
    if converted:
        made = {ast.unparse(call.func) for call in calls}
        assert "msgspec.json.Decoder" in made, "msgspec.convert learns the class when it is called"


def of_class(calls: list[ast.Call], function: str) -> list[str]:
    """The classes, not those that Python brings, which these calls of a function name."""
    named = [call for call in calls if ast.unparse(call.func) == function]
    kinds = [kind for call in named for kind in [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "type")]]
    return [ast.unparse(kind) for kind in kinds if isinstance(kind, ast.Name | ast.Attribute)]
