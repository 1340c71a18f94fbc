"""What msgspec raises for bytes from outside.

msgspec learns a class when it first decodes into it, and two threads that do so at once crash the process. So each
decoder is made while its module is imported, and what `msgspec.convert` converts to has a decoder there too.
"""

from __future__ import annotations

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""No JSON, of other types, no Unicode, or nested too deeply."""
