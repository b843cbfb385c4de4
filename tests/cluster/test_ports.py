"""Ports for the processes of a local cluster."""

import socket

from cluster.local import free_ports


def test_they_are_free_distinct_and_nobody_gets_them_by_chance() -> None:
    found = free_ports(20)
    assert len(set(found)) == 20
    for port in found:
        with socket.socket() as one:
            one.bind(("127.0.0.1", port))
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        assert any_port.getsockname()[1] > max(found)


def test_a_port_that_somebody_has_is_not_among_them(monkeypatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr("cluster.local._PORTS_TO_CHOOSE_FROM", range(port, port + 100))
        assert port not in free_ports(5)
