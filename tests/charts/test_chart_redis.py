"""The chart's Redis: durable as the embedded one is, and its configuration on a real server."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
import redis

from atlas.embedded import redis_server
from atlas.embedded.own_stack import free_ports
from tests.charts.rendered_chart import (
    chart,
    environment,
    of_kind,
    one,
    pods,
    render,
    values_sets,
)


def redis_directives() -> dict[str, str]:
    text = one(render(), "ConfigMap", "atlas-redis")["data"]["redis.conf"]
    lines = [line.partition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {key: value for key, _, value in lines}


def test_redis_loses_and_evicts_nothing_as_the_embedded_one_does() -> None:
    arguments = redis_server._argv(Path("redis-server"), Path("sock"), Path("run"))
    embedded = dict(zip(arguments[1::2], arguments[2::2], strict=True))
    ours = redis_directives()
    for option in ("appendonly", "appendfsync", "maxmemory-policy", "save"):
        assert ours[option].strip('"') == embedded[f"--{option}"], option
    assert ours["appendfsync"] == "always"
    assert ours["dir"] == "/data"


def test_redis_wants_a_password_and_its_probes_know_it() -> None:
    redis = pods(render())["redis"]
    assert redis_directives()["include"] == "/etc/redis-auth/auth.conf"
    auth = next(volume for volume in redis.spec["volumes"] if volume["name"] == "auth")
    assert auth["secret"] == {
        "secretName": "atlas-redis",
        "items": [{"key": "auth.conf", "path": "auth.conf"}],
    }
    assert environment(redis.main)["REDISCLI_AUTH"] == {
        "secretKeyRef": {"name": "atlas-redis", "key": "password"}
    }
    assert redis.main["readinessProbe"]["exec"]["command"] == ["valkey-cli", "-e", "ping"]
    assert redis.main["ports"] == [
        {"name": "redis", "protocol": "TCP", "containerPort": int(redis_directives()["port"])}
    ]


def test_redis_keeps_its_volume_and_is_never_two() -> None:
    for values in values_sets().values():
        assert set(of_kind(render(values), "StatefulSet")) <= {"atlas-redis"}
    redis = one(render(), "StatefulSet", "atlas-redis")
    assert redis["spec"]["replicas"] == 1
    (claim,) = redis["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert {"name": "data", "mountPath": "/data"} in pods(render())["redis"].main["volumeMounts"]


def test_redis_has_room_beyond_its_memory_to_rewrite_its_file() -> None:
    limit = chart().values["redis"]["resources"]["limits"]["memory"]
    assert (redis_directives()["maxmemory"], limit) == ("1gb", "2Gi")


# ---------------------------------------------------------------- a real server


def test_a_server_takes_the_configuration_and_wants_the_password(tmp_path: Path) -> None:
    secret = one(render(), "Secret", "atlas-redis")["stringData"]
    text = one(render(), "ConfigMap", "atlas-redis")["data"]["redis.conf"]
    (tmp_path / "auth.conf").write_text(secret["auth.conf"])
    port = free_ports()
    for ours, here in (
        ("/etc/redis-auth", tmp_path),
        ("dir /data", f"dir {tmp_path}"),
        ("port 6379", f"port {port}"),
    ):
        assert str(ours) in text
        text = text.replace(ours, str(here))
    (tmp_path / "redis.conf").write_text(text)
    with subprocess.Popen(
        [redis_server.find_server(), tmp_path / "redis.conf"], stdout=subprocess.DEVNULL, cwd=tmp_path
    ) as server:
        try:
            url = secret["url"].replace("atlas-redis:6379", f"127.0.0.1:{port}")
            with redis.Redis.from_url(url, decode_responses=True) as client:
                answers_soon(client)
                client.xadd("{atlas}:journal", {"event": "x"})
                told = client.config_get("*")
            assert (told["appendonly"], told["appendfsync"], told["save"]) == ("yes", "always", "")
            assert (told["maxmemory-policy"], int(told["maxmemory"])) == ("noeviction", 1 << 30)
            with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
        finally:
            server.terminate()
    assert any((tmp_path / "appendonlydir").iterdir())


def answers_soon(client: redis.Redis) -> None:
    for _ in range(200):
        try:
            client.ping()
            return
        except redis.ConnectionError:
            time.sleep(0.05)
    client.ping()
