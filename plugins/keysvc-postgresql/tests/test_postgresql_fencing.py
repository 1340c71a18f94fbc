"""A master secret server that was cut off from its database changes nothing once its lease has passed on."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path

from chaos.proxy import Network
from clusters import Cluster
from postgresql_server import PostgreSQLServer
from systems import run_keysvc

from keysvc.installation import config as configuration


def test_a_master_that_is_cut_off_from_the_database_is_a_standby_when_it_is_back(
    tmp_path: Path, server: PostgreSQLServer, url: str
) -> None:
    with contextlib.ExitStack() as ending:
        network = Network()
        ending.callback(network.close)
        cluster = Cluster(tmp_path, functools.partial(run_keysvc, tmp_path / "home"), mapping_store=url)
        ending.callback(cluster.end)
        way = network.way(lambda: server.port)
        through = {"mapping_store": url.replace(f":{server.port}/", f":{way.port}/")}
        configuration.change(cluster.machines[0].config, through)
        cluster.serve(0)
        cluster.until_active(0)
        standby = cluster.join_master("--mapping-store", url)
        cluster.with_credential()
        cluster.serve(standby)
        cluster.until_ready()
        way.cut(silently=True)
        cluster.until_active(standby, seen_by=standby)
        way.heal()
        cluster.run("secret", "rotate", "--wait", machine=0)
        cluster.assert_one_history(standby)
