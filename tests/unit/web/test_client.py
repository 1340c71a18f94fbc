"""What a client makes of a server that does not do what it should."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from systems import SYSTEM_ID

from keysvc.crypto import certificates
from keysvc.errors import MasterSecretServerUnavailable
from keysvc.installation import assembly
from keysvc.model import Role, utc_now
from keysvc.web.master.client import MasterClient
from keysvc.web.tls.identity_files import IdentityFiles


def test_a_connection_that_is_cut_in_its_handshake_is_an_outage_and_no_refusal(tmp_path: Path) -> None:
    authority = certificates.create_authority(SYSTEM_ID, now=utc_now())
    pair = certificates.issue(authority, "web-01", Role.SERVER, now=utc_now())
    assembly.write_identity(tmp_path, pair, authority.certificate)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)  # the whole first message, so that closing is no reset

        thread = threading.Thread(target=hang_up)
        thread.start()
        client = MasterClient([f"https://127.0.0.1:{listening.getsockname()[1]}"], IdentityFiles(tmp_path), SYSTEM_ID)
        with pytest.raises(MasterSecretServerUnavailable, match="hung up"):
            client.poll((), None)
        thread.join()
        client.close()
