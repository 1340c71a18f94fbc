"""python -m keysvc"""

from __future__ import annotations

from keysvc.cli import main

main()
