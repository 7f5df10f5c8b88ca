"""The Helm chart before real API servers of Kubernetes: `tools/chart_check.py [FOLDER]`, also in `make deploy-check`.

Builds kube-apiserver, etcd and helm from the Go module proxy into FOLDER (.worlds/kubernetes), which takes half an hour
the first time, and starts them on loopback. In a namespace that enforces the Pod security standard `restricted`, the
server then dry-runs the installation, each object of the chart, and a Pod of each pod template. Exit status 1 if the
server refuses something, or warns.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm"
NAMESPACE = "chart-check"

RELEASES = ("1.37.2", "1.36.3")
"""The newest patches of the last two Kubernetes releases on the Go module proxy, 2026-12-03."""
ETCD = "v3.7.3"
HELM = "v3.22.0"

STARTED_WITHIN_S = 120.0

NAMESPACED = {
    "Service": "api/v1/{ns}/services",
    "ServiceAccount": "api/v1/{ns}/serviceaccounts",
    "ConfigMap": "api/v1/{ns}/configmaps",
    "Deployment": "apis/apps/v1/{ns}/deployments",
    "StatefulSet": "apis/apps/v1/{ns}/statefulsets",
    "PodDisruptionBudget": "apis/policy/v1/{ns}/poddisruptionbudgets",
    "Ingress": "apis/networking.k8s.io/v1/{ns}/ingresses",
    "NetworkPolicy": "apis/networking.k8s.io/v1/{ns}/networkpolicies",
    "HorizontalPodAutoscaler": "apis/autoscaling/v2/{ns}/horizontalpodautoscalers",
}
"""Paths of the kinds that Kubernetes itself serves. KEDA's and Prometheus Operator's kinds need their own servers."""


class Result(NamedTuple):
    """The server's answer to one object: `problem` is "" if it was accepted without a warning."""

    release: str
    values: str
    name: str
    problem: str


def main() -> int:
    """Build what is missing, try each release with each set of values, and print a table."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".worlds" / "kubernetes").absolute()
    if not shutil.which("go"):
        print_line("not run: go is not installed")
        return 1
    build(folder)
    results = [result for release in RELEASES for result in check_release(folder, release)]
    for result in results:
        verdict = result.problem or "accepted"
        print_line(f"{result.release}  {result.values:10}  {result.name:50}  {verdict}")
    bad = sum(bool(result.problem) for result in results)
    print_line(f"{len(results) - bad} accepted, {bad} refused or warned of")
    return 1 if bad else 0


def print_line(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


# --- building ---------------------------------------------------------------------------------------------------------


def build(folder: Path) -> None:
    """Build the programs that FOLDER does not have yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for release in RELEASES:
        # Kubernetes replaces the k8s.io modules by folders of its repository. On the proxy they are modules of their
        # own, so the module built here replaces them by those.
        staged = f"v0.{release.partition('.')[2]}"
        module = f"k8s.io/kubernetes@v{release}"
        version = "k8s.io/component-base/version"
        minor = release.split(".")[1]
        flags = f"-s -w -X {version}.gitVersion=v{release} -X {version}.gitMajor=1 -X {version}.gitMinor={minor}"
        target = folder / f"kube-apiserver-{release}"
        if not target.exists():
            replaced = [f"replace {name} => {name} {staged}" for name in staging_modules(module)]
            build_tool(target, module, "k8s.io/kubernetes/cmd/kube-apiserver", replaced, flags)
    if not (folder / "etcd").exists():
        build_tool(folder / "etcd", f"go.etcd.io/etcd/server/v3@{ETCD}", "go.etcd.io/etcd/server/v3", [], "-s -w")
    if not (folder / "helm").exists():
        build_tool(folder / "helm", f"helm.sh/helm/v3@{HELM}", "helm.sh/helm/v3/cmd/helm", [], "-s -w")


def staging_modules(module: str) -> list[str]:
    """Return the names of the modules that a Kubernetes module replaces by folders."""
    download = json.loads(run("go", "mod", "download", "-json", module))
    edited = json.loads(run("go", "mod", "edit", "-json", download["GoMod"]))
    return [replace["Old"]["Path"] for replace in edited["Replace"]]


def build_tool(target: Path, module: str, package: str, replaced: list[str], flags: str) -> None:
    """Build a package in a module of its own, which requires only `module`."""
    print_line(f"building {target.name} (minutes)")
    name, _, version = module.partition("@")
    with tempfile.TemporaryDirectory() as temporary:
        lines = ["module example/tool", "", "go 1.26.0", "", f"require {name} {version}", *replaced, f"tool {package}"]
        Path(temporary, "go.mod").write_text("\n".join(lines) + "\n", "utf-8")
        run("go", "build", "-mod=mod", "-trimpath", "-ldflags", flags, "-o", str(target), package, folder=temporary)


def run(*command: str, folder: str | None = None) -> str:
    """Return what a command prints. Raises CalledProcessError if it fails, with its error output printed."""
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
    done.check_returncode()
    return done.stdout


# --- the server -------------------------------------------------------------------------------------------------------


class ApiServer:
    """A running API server. `request` returns status, body and warnings."""

    def __init__(self, port: int, token: str) -> None:
        self.url = f"https://127.0.0.1:{port}"
        self.token = token
        self._tls = ssl.create_default_context()
        # The server makes its certificate anew for each run, on loopback.
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE

    def request(self, method: str, path: str, document: object = None, kind: str = "") -> tuple[int, Any, list[str]]:
        """Return status, body and warnings of a call. Raises URLError if the server does not answer."""
        body = json.dumps(document).encode() if document is not None else None
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind or "application/json"}
        request = urllib.request.Request(f"{self.url}/{path}", body, headers, method=method)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=30) as answer:  # noqa: S310
                return answer.status, json.load(answer), answer.headers.get_all("Warning") or []
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), error.headers.get_all("Warning") or []


@contextlib.contextmanager
def serve(folder: Path, release: str) -> Iterator[ApiServer]:
    """Run etcd and an API server of this release until the block ends."""
    client_port, peer_port, port = free_port(), free_port(), free_port()
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        data = Path(temporary)
        (data / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n', "utf-8")
        run("openssl", "genrsa", "-out", str(data / "accounts.key"), "2048")
        clients, peers = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
        etcd = (
            *(str(folder / "etcd"), "--data-dir", str(data / "etcd"), "--listen-client-urls", clients),
            *("--advertise-client-urls", clients, "--listen-peer-urls", peers),
            *("--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}"),
        )
        apiserver = (
            *(str(folder / f"kube-apiserver-{release}"), "--etcd-servers", clients, "--bind-address", "127.0.0.1"),
            *("--secure-port", str(port), "--cert-dir", str(data / "certificates"), "--authorization-mode", "RBAC"),
            *("--token-auth-file", str(data / "tokens.csv"), "--service-cluster-ip-range", "10.0.0.0/24"),
            *("--service-account-issuer", "https://localhost", "--disable-admission-plugins", "ServiceAccount"),
            *("--service-account-key-file", str(data / "accounts.key")),
            *("--service-account-signing-key-file", str(data / "accounts.key")),
        )
        for command in (etcd, apiserver):
            log = stack.enter_context((data / f"{Path(command[0]).name}.log").open("wb"))
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        server = ApiServer(port, token)
        wait_until_ready(server)
        yield server


def wait_until_ready(server: ApiServer) -> None:
    """Wait until the server answers that it is ready. Raises TimeoutError after STARTED_WITHIN_S."""
    deadline_s = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError, ValueError):
            if server.request("GET", "api/v1/namespaces/kube-system")[0] == 200:
                return
        time.sleep(0.5)
    raise TimeoutError(f"the API server was not ready within {STARTED_WITHIN_S:g} s")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


# --- the checks -------------------------------------------------------------------------------------------------------


def check_release(folder: Path, release: str) -> Iterator[Result]:
    """Yield a release's answer to the installation, to each object, and to a Pod of each pod template."""
    with serve(folder, release) as server:
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
        server.request("POST", "api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": labels}})
        for values, arguments in value_sets().items():
            command = (str(folder / "helm"), "template", "cx", str(CHART), "--kube-version", release, *arguments)
            documents = [document for document in yaml.safe_load_all(run(*command)) if document]
            if values != "everything":  # its KEDA and Prometheus kinds are not served here
                yield Result(release, values, "helm install --dry-run=server", install(server, folder, arguments))
            for document in documents:
                name = f"{document['kind']}/{document['metadata']['name']}"
                if document["kind"] not in NAMESPACED:
                    print_line(
                        f"{release}  {values:10}  {name:50}  not tried: Kubernetes itself does not serve this kind"
                    )
                    continue
                yield Result(release, values, name, apply(server, document))
                if pod := find_pod(document):
                    yield Result(release, values, f"Pod of {name}", create_pod(server, pod))
                    is_refused = create_pod(server, {**pod, "spec": {**pod["spec"], "hostNetwork": True}})
                    problem = "" if is_refused else "a Pod that `restricted` forbids was accepted: nothing is enforced"
                    yield Result(release, values, f"a host's network for {name} is refused", problem)


def value_sets() -> dict[str, tuple[str, ...]]:
    """Return helm's arguments for each set of values: the smallest that the chart takes, and everything.yaml."""
    settings = (
        "image.repository=registry.example/stream-router",
        f"image.digest=sha256:{'0' * 64}",
        "secretName=router",
        "roles.receive=none",
        "roles.consume=none",
        "settings.AWS_REGION=eu-central-1",
        "settings.SQS_DLQ_URL=https://sqs.eu-central-1.amazonaws.com/123456789012/dead",
        "settings.STREAM_ROUTER_WEBHOOK_SCHEME=bearer",
    )
    return {"least": ("--set", ",".join(settings)), "everything": ("-f", str(CHART / "everything.yaml"))}


def install(server: ApiServer, folder: Path, arguments: tuple[str, ...]) -> str:
    """Return helm's problem with an installation that the server only tries, "" if there is none."""
    command = (
        *(str(folder / "helm"), "install", "cx", str(CHART), "--dry-run=server", "--namespace", NAMESPACE),
        *("--kube-apiserver", server.url, "--kube-token", server.token, "--kube-insecure-skip-tls-verify", *arguments),
    )
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "KUBECONFIG": ""})
    warnings = [line for line in done.stderr.splitlines() if "warning" in line.lower() and "insecure" not in line]
    return done.stderr.strip() if done.returncode else "; ".join(warnings)


def apply(server: ApiServer, document: dict[str, Any]) -> str:
    """Return the server's problem with applying an object, "" if it accepts the object without a warning."""
    path = NAMESPACED[document["kind"]].format(ns=f"namespaces/{NAMESPACE}")
    query = "dryRun=All&fieldManager=chart-check&fieldValidation=Strict"
    name = document["metadata"]["name"]
    return describe(server.request("PATCH", f"{path}/{name}?{query}", document, "application/apply-patch+yaml"))


def find_pod(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return the Pod that a controller would make of an object's pod template; None if the object has none."""
    template = document.get("spec", {}).get("template")
    if template is None:
        return None
    claims = [claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", ())]
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": f"{name}-pod"}} for name in claims]
    spec = {**template["spec"], "volumes": [*template["spec"].get("volumes", ()), *volumes]}
    return {"metadata": {"name": "pod", **template["metadata"]}, "spec": spec}


def create_pod(server: ApiServer, pod: dict[str, Any]) -> str:
    """Return the server's problem with a Pod, "" if there is none. Pod security is enforced for Pods alone."""
    return describe(server.request("POST", f"api/v1/namespaces/{NAMESPACE}/pods?dryRun=All", pod))


def describe(answer: tuple[int, Any, list[str]]) -> str:
    """Return the message of a refusal, or the warnings, of an answer; "" if there are none."""
    status, body, warnings = answer
    return str(body.get("message", status)) if status >= 400 else "; ".join(warnings)


if __name__ == "__main__":
    sys.exit(main())
