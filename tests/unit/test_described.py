"""Classes that msgspec decodes into are learned by one thread at a time."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = sorted([*ROOT.glob("keysvc/**/*.py"), *ROOT.glob("plugins/*/keysvc_*/**/*.py")])
CLASSES_LEARNED_AT_ONCE = """
import dataclasses, sys, threading
import msgspec
from keysvc.described import described

sys.setswitchinterval(1e-6)
for number in range(400):
    inner = dataclasses.make_dataclass("Inner", [("x", int), ("y", str)])
    fields = [("inner", inner), ("a", int), ("b", str), ("more", tuple[inner, ...], ())]
    outer = dataclasses.make_dataclass("Outer", fields)
    start = threading.Barrier(4)

    def convert():
        start.wait()
        msgspec.convert([{"inner": {"x": 1, "y": ""}, "a": 1, "b": ""}], list[KIND])

    threads = [threading.Thread(target=convert) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_a_class_may_be_learned_by_several_threads_at_once() -> None:
    program = CLASSES_LEARNED_AT_ONCE.replace("KIND", "described(outer)")
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_no_module_converts_to_a_class_that_is_not_described() -> None:
    assert [path for path in MODULES if "described(" not in path.read_text("utf-8") and converts_to_a_class(path)] == []


def converts_to_a_class(path: Path) -> bool:
    calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
    converting = [call for call in calls if ast.unparse(call.func) in {"msgspec.convert", "msgspec.json.decode"}]
    kinds = [kind for call in converting for kind in call.args[1:] + [keyword.value for keyword in call.keywords]]
    return any(isinstance(kind, ast.Name | ast.Attribute) for kind in kinds)
