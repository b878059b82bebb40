"""Image, compose file and manifests: as far as schemas, real checkers and the other files can judge them.

No container engine and no cluster is needed, and none is asked: what only they can show is not shown here.
"""

import json
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import compose_spec
import kubernetes_validate
import pytest
import yaml

from tristar import __version__
from tristar.settings.model import Server
from tristar.settings.table import VARIABLES

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy/docker"
DOCKERFILE = DOCKER / "Dockerfile"
MANIFESTS = ROOT / "deploy/kubernetes"
KUBERNETES = ("1.30", "1.36")
"""Manifests are judged by the schemas of the oldest and the newest version that they are meant for."""


def instructions() -> list[tuple[str, str]]:
    """Every instruction of the Dockerfile with its arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, from its FROM on."""
    found: list[list[tuple[str, str]]] = []
    for each in instructions():
        if each[0] == "FROM":
            found.append([])
        if found:
            found[-1].append(each)
    return found


def test_what_builds_the_image_is_not_in_it() -> None:
    """Stages of their own for console and packages; bases have versions that cannot mean another one."""
    pins = [rest for name, rest in instructions() if name == "ARG"]

    assert [stage[0][1].split()[0] for stage in stages()] == ["${NODE_IMAGE}", *["${PYTHON_IMAGE}"] * 2]
    assert pins == ["PYTHON_IMAGE=python:3.13-slim-bookworm", "NODE_IMAGE=node:22-bookworm-slim"]
    assert not any("pip" in rest or "npm" in rest for name, rest in stages()[-1] if name == "RUN")


def test_the_image_runs_as_a_numbered_user_without_rights() -> None:
    """A number, so that Kubernetes can see that it is not root; nothing after it is root again."""
    names = [name for name, _ in stages()[-1]]
    users = [rest for name, rest in stages()[-1] if name == "USER"]

    assert users == ["10001:10001"]
    assert "RUN" not in names[names.index("USER") :]
    assert names.count("HEALTHCHECK") == names.count("ENTRYPOINT") == names.count("CMD") == 1


def test_commands_of_the_image_need_no_shell() -> None:
    """Each is a JSON list: no word is split or expanded by surprise, and signals reach the gateway itself."""
    for name, rest in instructions():
        if name in {"RUN", "CMD", "ENTRYPOINT"}:
            assert isinstance(json.loads(rest), list), rest
        assert name != "ADD"


def test_dependencies_in_the_image_are_those_of_the_lock() -> None:
    """With their hashes, as wheels, and nothing that the lock does not name."""
    (install,) = [rest for name, rest in instructions() if name == "RUN" and "run.lock" in rest]

    assert {"--require-hashes", "--no-deps", "--only-binary", "requirements/run.lock"} <= set(
        json.loads(install)
    )


def test_all_that_is_copied_is_there_and_let_through() -> None:
    """The builder gets what it copies and none of the rest, `.env` above all."""
    ignore = (DOCKER / "Dockerfile.dockerignore").read_text().split()
    let_through = [line[1:] for line in ignore if line.startswith("!")]
    copied = [rest.split()[:-1] for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    sources = [source for each in copied for source in each]

    assert "*" in ignore
    assert [each for each in sources if not (ROOT / each).exists()] == []
    assert sorted(sources) == sorted(let_through)
    assert not any(fnmatch(".env", pattern) for pattern in let_through)


def test_the_image_says_where_its_two_directories_are() -> None:
    """The variables name what the volumes hold; every other place is read-only."""
    (environment,) = [rest for name, rest in stages()[-1] if name == "ENV"]
    (volumes,) = [json.loads(rest) for name, rest in stages()[-1] if name == "VOLUME"]
    known = {row.name for row in VARIABLES}
    named = dict(pair.split("=", 1) for pair in environment.split())

    assert named["AUDIT_LOG_DIR"].startswith("/var/log/tristar")
    assert set(volumes) == {named["TRISTAR_DATA_DIR"], "/var/log/tristar"}
    assert {"AUDIT_LOG_DIR", "TRISTAR_DATA_DIR"} <= known


COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_the_compose_file_is_one() -> None:
    """By a reader that knows the specification and takes no key that it does not know."""
    text = (DOCKER / "compose.yaml").read_text()
    read = compose_spec.PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(text)))

    assert set(read.service_names()) == {
        "tristar",
        "redis",
        "postgres",
        "prometheus",
        "alertmanager",
        "grafana",
    }


def test_the_reader_of_compose_files_finds_faults() -> None:
    """A check that cannot fail would be none."""
    with pytest.raises(Exception, match="cap_dorp"):
        compose_spec.PyCompose.from_yaml("services: {a: {image: b, cap_dorp: [ALL]}}")


def test_every_file_that_compose_mounts_is_there() -> None:
    """A missing file would be mounted as an empty directory."""
    mounts = [volume for service in SERVICES.values() for volume in service.get("volumes", ())]
    paths = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]

    assert len(paths) >= 6
    assert [path for path in paths if not (DOCKER / path).resolve().exists()] == []


def test_compose_shows_nothing_to_other_machines_and_keeps_no_password() -> None:
    """Ports on loopback alone; secrets come from a file that is not in the repository, and must be set."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    values = [
        str(value) for service in SERVICES.values() for value in service.get("environment", {}).values()
    ]
    secrets = re.findall(r"\$\{(\w+)(:\?)?", " ".join(values))
    example = (DOCKER / ".env.example").read_text()

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert {name for name, _ in secrets} == {"TRISTAR_ADMIN_KEY", "POSTGRES_PASSWORD", "GRAFANA_PASSWORD"}
    assert all(must for _, must in secrets)
    assert all(f"\n{name}=\n" in example for name, _ in secrets)


def test_every_image_of_compose_has_a_version() -> None:
    """`latest` is another one tomorrow; ours is this version."""
    images = {name: service["image"] for name, service in SERVICES.items()}

    assert images["tristar"] == f"tristar:{__version__}"
    assert [image for image in images.values() if not re.search(r":v?\d+\.\d|:\d+-", image)] == []


def test_the_gateway_of_compose_is_as_closed_as_the_unit() -> None:
    """Read-only, without capabilities, with time to drain."""
    gateway = SERVICES["tristar"]

    assert gateway["read_only"] is True
    assert gateway["cap_drop"] == ["ALL"]
    assert int(gateway["stop_grace_period"].removesuffix("s")) > Server.drain_s


def test_prometheus_of_compose_reads_the_shipped_rules_and_has_somewhere_to_send_alerts(
    tmp_path: Path,
) -> None:
    """Judged by promtool; the one line that only Prometheus 3 knows is taken out for it."""
    config = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    (scrape,) = config["scrape_configs"]
    assert scrape.pop("always_scrape_classic_histograms") is True
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    for name in config["rule_files"]:
        (tmp_path / name).write_text((ROOT / "prometheus" / name).read_text())
    checked = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert checked.returncode == 0, checked.stderr
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["alertmanager:9093"]


def test_alertmanager_takes_its_configuration() -> None:
    """Judged by amtool."""
    checked = subprocess.run(
        ["amtool", "check-config", DOCKER / "alertmanager.yml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert checked.returncode == 0, checked.stderr


OBJECTS: list[dict[str, Any]] = [
    each for path in sorted(MANIFESTS.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text())
]


def of_kind(kind: str) -> dict[str, Any]:
    """The first manifest of this kind."""
    return next(each for each in OBJECTS if each["kind"] == kind)


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_own_kinds_fit_its_schemas(version: str) -> None:
    """Strictly: no key that the schema does not know. The operator's two kinds have no schema here."""
    own = [each for each in OBJECTS if not each["apiVersion"].startswith("monitoring.coreos.com/")]
    for each in own:
        kubernetes_validate.validate(each, version, strict=True)

    assert {each["kind"] for each in own} == {"Service", "StatefulSet", "PodDisruptionBudget"}


def test_the_reader_of_manifests_finds_faults() -> None:
    """A check that cannot fail would be none."""
    broken = {**of_kind("Service"), "spec": {"ports": [{"prot": 1}]}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES[-1], strict=True)


def test_whoever_selects_finds_somebody() -> None:
    """Service, budget and monitor look for labels that the pods and the service carry."""
    pods = of_kind("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    service = of_kind("Service")
    monitor = of_kind("ServiceMonitor")["spec"]

    assert service["spec"]["selector"].items() <= pods.items()
    assert of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= pods.items()
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_a_pod_is_closed_and_has_time_to_drain() -> None:
    """Not root, read-only, no capabilities, no token; it leaves the service before it is told to end."""
    pod = of_kind("StatefulSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    leave_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > leave_s + Server.drain_s
    assert container["readinessProbe"]["periodSeconds"] <= leave_s


def test_the_rules_of_kubernetes_are_the_shipped_ones(tmp_path: Path) -> None:
    """The same groups, judged by promtool."""
    groups = of_kind("PrometheusRule")["spec"]["groups"]
    shipped = [
        group
        for name in ("recording.yml", "alerts.yml")
        for group in yaml.safe_load((ROOT / "prometheus" / name).read_text())["groups"]
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    subprocess.run(["promtool", "check", "rules", tmp_path / "rules.yml"], check=True, timeout=60)

    assert groups == shipped
