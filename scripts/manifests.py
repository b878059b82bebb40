"""What containers and Kubernetes run TriStar with, from the files and defaults that everybody else uses."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tristar import __version__
from tristar.metrics import rules
from tristar.settings.model import Metrics, Server

ROOT = Path(__file__).resolve().parent.parent
NAME = "tristar"
LABELS = {"app.kubernetes.io/name": NAME}
USER = 10001
LEAVE_S = 5
"""Between the word that a pod ends and the last request that still finds it."""
MARGIN_S = 10
MADE = "# Made by `make docs` from the defaults and prometheus/*.yml; do not change it here.\n"

Object = dict[str, Any]


def files() -> Mapping[str, str]:
    """Every manifest by its path in the repository."""
    return {
        "deploy/docker/prometheus.yml": _compose_prometheus(),
        "deploy/kubernetes/tristar.yaml": _documents(
            "# Each pod has a volume of its own for its audit log, which has to outlive the pod: hence a\n"
            "# StatefulSet and no Deployment. It wants two Secrets and a ConfigMap: docs/deployment.md.\n",
            [_service(headless=False), _service(headless=True), _stateful_set(), _disruption_budget()],
        ),
        "deploy/kubernetes/monitoring.yaml": _documents(
            "# For the Prometheus Operator.\n", [_service_monitor(), _prometheus_rule()]
        ),
    }


class _Plain(yaml.SafeDumper):
    """Says everything where it belongs, however often."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the base class's
        """Never refer to what was said before."""
        return True


def _documents(head: str, objects: Sequence[Object]) -> str:
    return (
        MADE
        + head
        + "---\n".join(yaml.dump(each, Dumper=_Plain, sort_keys=False, width=110) for each in objects)
    )


def _compose_prometheus() -> str:
    """The shipped configuration for Prometheus 3, and where its alerts go."""
    shipped = (ROOT / "prometheus/prometheus-3.yml").read_text(encoding="utf-8")
    targets = '    - static_configs:\n        - targets: ["alertmanager:9093"]\n'
    return MADE + shipped.replace("rule_files:", f"alerting:\n  alertmanagers:\n{targets}\nrule_files:", 1)


def _object(kind: str, api: str, name: str, **parts: Object) -> Object:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "labels": LABELS}, **parts}


def _service(*, headless: bool) -> Object:
    port = {"name": "http", "port": Server.port, "targetPort": "http"}
    spec: Object = {"selector": LABELS, "ports": [port]}
    if headless:
        return _object("Service", "v1", f"{NAME}-pods", spec={"clusterIP": "None"} | spec)
    found = _object("Service", "v1", NAME, spec=spec)
    found["metadata"]["labels"] = LABELS | {"scrape": "true"}
    return found


def _stateful_set() -> Object:
    spec = {
        "replicas": 2,
        "serviceName": f"{NAME}-pods",
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": _pod()},
        "volumeClaimTemplates": [_claim("audit", "10Gi"), _claim("data", "1Gi")],
    }
    return _object("StatefulSet", "apps/v1", NAME, spec=spec)


def _claim(name: str, size: str) -> Object:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"metadata": {"name": name}, "spec": spec}


def _pod() -> Object:
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": LEAVE_S + int(Server.drain_s) + MARGIN_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": LABELS},
            }
        ],
        "containers": [_container()],
        "volumes": [
            {"name": "config", "configMap": {"name": f"{NAME}-config"}},
            {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        ],
    }


def _container() -> Object:
    return {
        "name": NAME,
        "image": f"{NAME}:{__version__}",
        "args": ["serve", "--host", "0.0.0.0"],
        "ports": [{"name": "http", "containerPort": Server.port}],
        "envFrom": [{"secretRef": {"name": NAME}}],
        "startupProbe": _probe("/health/live", periodSeconds=1, failureThreshold=60),
        "livenessProbe": _probe("/health/live", periodSeconds=10, timeoutSeconds=5, failureThreshold=3),
        "readinessProbe": _probe("/health/ready", periodSeconds=2, timeoutSeconds=2, failureThreshold=1),
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(LEAVE_S)]}}},
        "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/tristar", "readOnly": True},
            {"name": "audit", "mountPath": "/var/log/tristar"},
            {"name": "data", "mountPath": "/var/lib/tristar"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def _probe(path: str, **times: int) -> Object:
    return {"httpGet": {"path": path, "port": "http"}, **times}


def _disruption_budget() -> Object:
    spec = {"minAvailable": 1, "selector": {"matchLabels": LABELS}}
    return _object("PodDisruptionBudget", "policy/v1", NAME, spec=spec)


def _service_monitor() -> Object:
    shipped = yaml.safe_load((ROOT / "prometheus/prometheus-3.yml").read_text(encoding="utf-8"))
    endpoint = {
        "port": "http",
        "path": Metrics.path,
        "interval": shipped["global"]["scrape_interval"],
        # A key with the scope `metrics`: tristar keys create --name prometheus --scope metrics
        "authorization": {"credentials": {"name": f"{NAME}-metrics", "key": "key"}},
        # The rules and the dashboard look for job="tristar".
        "relabelings": [{"targetLabel": "job", "replacement": NAME}],
    }
    spec = {"selector": {"matchLabels": LABELS | {"scrape": "true"}}, "endpoints": [endpoint]}
    return _object("ServiceMonitor", "monitoring.coreos.com/v1", NAME, spec=spec)


def _prometheus_rule() -> Object:
    alerts = yaml.safe_load((ROOT / "prometheus/alerts.yml").read_text(encoding="utf-8"))
    recording = yaml.safe_load(rules.build(rules.Objectives()))
    spec = {"groups": [*recording["groups"], *alerts["groups"]]}
    return _object("PrometheusRule", "monitoring.coreos.com/v1", NAME, spec=spec)
