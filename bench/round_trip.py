"""The floor: one command on each load balancer over Fabric, at the same time, start-up included. Run by bench.setup_speed.

python round_trip.py USER KEY KNOWN_HOSTS ADDRESS...
"""

import sys

import paramiko
from fabric import Config, Connection, ThreadingGroup


def main(user: str, key: str, known_hosts: str, *addresses: str) -> None:
    config = Config(lazy=True)
    connections = []
    for address in addresses:
        kwargs = {"key_filename": key, "look_for_keys": False, "allow_agent": False}
        connection = Connection(address, user=user, config=config, connect_kwargs=kwargs)
        connection.client.load_host_keys(known_hosts)
        connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        connections.append(connection)
    ThreadingGroup.from_connections(connections).run("sudo -n true", hide=True, in_stream=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
