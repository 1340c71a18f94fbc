"""For plugin authors: pytest explains a failed assertion of the conformance suites. Imports nothing of keysvc."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("keysvc.testing")
