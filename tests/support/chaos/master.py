"""`keysvc serve`, in the harness: python -m chaos.master --config PATH serve"""

from __future__ import annotations

from chaos import breaking
from keysvc.cli import main

if __name__ == "__main__":
    breaking.apply()
    main()
