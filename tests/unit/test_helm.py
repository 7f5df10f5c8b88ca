"""deploy/helm: what it renders to, held against settings and drains; by `helm` itself where it is installed."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_router.settings.reading import load, names
from stream_router.settings.receiver import Receiver

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm"
GOLDEN = ROOT / "tests" / "data" / "helm_everything.yaml"
COMMAND = ("helm", "template", "cx", str(CHART), "--kube-version", "1.31.0", "-f", str(CHART / "everything.yaml"))
needs_helm = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")


def parsed(text: str) -> dict[tuple[str, str], Any]:
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text)}


RENDERED = parsed(GOLDEN.read_text("utf-8"))
PODS = {
    "receive": RENDERED["Deployment", "cx-receive"]["spec"]["template"]["spec"],
    "consume": RENDERED["StatefulSet", "cx-consume"]["spec"]["template"]["spec"],
}


def variables(pod: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}


@needs_helm
def test_the_chart_renders_to_what_is_committed() -> None:
    """Write it anew with the command of this file, when the chart changes, and read the difference."""
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=True)
    assert parsed(done.stdout) == RENDERED


@needs_helm
def test_helm_lint_finds_nothing_and_a_value_that_is_missing_is_named() -> None:
    """With everything on; with nothing given it names what it needs, and renders nothing."""
    lint = ["helm", "lint", "--strict", str(CHART), "-f", str(CHART / "everything.yaml")]
    assert subprocess.run(lint, capture_output=True, check=False).returncode == 0
    done = subprocess.run(COMMAND[:-2], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "is not set" in done.stderr or ": name the" in done.stderr


def test_a_number_of_the_values_is_written_as_a_setting_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Helm reads 134217728 as a float; the receiver ends with 78 at 1.34217728e+08."""
    given = yaml.safe_load((CHART / "everything.yaml").read_text("utf-8"))["settings"]
    data = RENDERED["ConfigMap", "cx-settings"]["data"]
    for name in given.keys() & data.keys():
        assert data[name] == str(given[name])
        monkeypatch.setenv(name, data[name])
    monkeypatch.setenv("STREAM_ROUTER_WEBHOOK_SECRETS", "a secret of some length")
    assert load(Receiver).max_held_bytes == given["STREAM_ROUTER_MAX_HELD_BYTES"]
    template = (CHART / "templates" / "common.yaml").read_text("utf-8")
    assert 'printf "%.0f"' in template, "what the committed render was made by"


@needs_helm
def test_a_setting_that_the_chart_gives_too_is_yours() -> None:
    """Once in the ConfigMap: a key that stands there twice is refused, or the first one forgotten."""
    given = ("--set", "settings.STREAM_ROUTER_LOG_FORMAT=text")
    text = subprocess.run([*COMMAND, *given], capture_output=True, text=True, check=True).stdout
    assert text.count("STREAM_ROUTER_LOG_FORMAT") == 1
    assert parsed(text)["ConfigMap", "cx-settings"]["data"]["STREAM_ROUTER_LOG_FORMAT"] == "text"


@pytest.mark.parametrize("program", PODS)
def test_a_pod_is_hardened_named_and_drained(program: str) -> None:
    """Not root, read-only but for its state, no service links, and time for its drain before it is killed."""
    pod = PODS[program]
    (container,) = pod["containers"]
    assert container["args"] == [program]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["enableServiceLinks"] is False
    assert "podAntiAffinity" in pod["affinity"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/var/lib/stream-router"]
    delay_s = float(variables(pod).get("STREAM_ROUTER_DRAIN_DELAY_S") or 0)
    assert pod["terminationGracePeriodSeconds"] >= delay_s + 20 + 10, "a drain takes 20 s at most"


@pytest.mark.parametrize("program", PODS)
def test_a_pod_goes_where_its_image_runs_and_comes_from(program: str) -> None:
    """In a cluster with nodes of two kinds an image for one of them, from a registry that wants a name."""
    given = yaml.safe_load((CHART / "everything.yaml").read_text("utf-8"))
    assert PODS[program].get("nodeSelector") == given["nodeSelector"]
    assert PODS[program].get("tolerations") == given["tolerations"]
    assert PODS[program].get("imagePullSecrets") == [{"name": name} for name in given["image"]["pullSecrets"]]
    template = (CHART / "templates" / "_helpers.tpl").read_text("utf-8")
    assert "nodeSelector" in template, "what the committed render was made by"


@needs_helm
def test_where_the_platform_gives_the_user_the_chart_names_none() -> None:
    """OpenShift admits no other than those of its namespace's range, and no group or volumes' group either."""
    text = subprocess.run([*COMMAND, "--set", "user=none"], capture_output=True, text=True, check=True).stdout
    for kind, program in (("Deployment", "receive"), ("StatefulSet", "consume")):
        context = parsed(text)[kind, f"cx-{program}"]["spec"]["template"]["spec"]["securityContext"]
        assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@needs_helm
def test_where_pods_get_their_credentials_in_another_way_no_role_is_named() -> None:
    """By EKS Pod Identity, or in the Secret: a role in the annotation would be asked for before either."""
    given = ("--set", "roles.consume=none")
    text = subprocess.run([*COMMAND, *given], capture_output=True, text=True, check=True).stdout
    assert not parsed(text)["ServiceAccount", "cx-consume"]["metadata"].get("annotations")
    assert parsed(text)["ServiceAccount", "cx-receive"]["metadata"]["annotations"]
    done = subprocess.run([*COMMAND, "--set", "roles.consume="], capture_output=True, text=True, check=False)
    assert "roles.consume: name the IAM role" in done.stderr, "a role that was forgotten is no choice"


@needs_helm
def test_metrics_can_be_had_without_the_prometheus_operator() -> None:
    """A cluster that knows no ServiceMonitor refuses a chart with one; the ports and who may ask them are the same."""
    given = ("--set", "metrics.serviceMonitors=false,metrics.alerts=false")
    rendered = parsed(subprocess.run([*COMMAND, *given], capture_output=True, text=True, check=True).stdout)
    assert {kind for kind, _ in {*RENDERED} - {*rendered}} == {"ServiceMonitor", "PrometheusRule"}
    assert rendered["ConfigMap", "cx-settings"] == RENDERED["ConfigMap", "cx-settings"]
    assert rendered["NetworkPolicy", "cx-consume"] == RENDERED["NetworkPolicy", "cx-consume"]


@needs_helm
def test_with_a_spill_each_receiver_has_a_volume_that_lasts() -> None:
    """A StatefulSet that nothing scales: what waits on the volume of a pod that is gone waits until it is back."""
    done = subprocess.run(
        [*COMMAND, "--set", "receiver.spill.enabled=true"], capture_output=True, text=True, check=True
    )
    rendered = parsed(done.stdout)
    of_receiver = rendered["StatefulSet", "cx-receive"]["spec"]
    (claim,) = of_receiver["volumeClaimTemplates"]
    pod = of_receiver["template"]["spec"]
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert (claim["metadata"]["name"], "volumes" in pod) == (mount["name"], False)
    assert variables(pod)["STREAM_ROUTER_SPILL_DIR"] == mount["mountPath"]
    assert of_receiver["replicas"] == 2
    assert ("HorizontalPodAutoscaler", "cx-receive") not in rendered
    assert ("Deployment", "cx-receive") not in rendered


@needs_helm
def test_a_spill_that_goes_with_its_pod_is_refused() -> None:
    """The pod's only folder to write to is an `emptyDir`: what was answered 202 would be lost with the pod."""
    given = ("--set", "settings.STREAM_ROUTER_SPILL_DIR=/var/lib/stream-router/spill")
    done = subprocess.run([*COMMAND, *given], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "settings.STREAM_ROUTER_SPILL_DIR: " in done.stderr


@needs_helm
def test_in_a_cluster_of_ipv6_the_programs_listen_there() -> None:
    """Its pods have no other address: a receiver on 0.0.0.0 would never be ready, and no metric be scraped."""
    text = subprocess.run([*COMMAND, "--set", "listenHost=[::]"], capture_output=True, text=True, check=True).stdout
    pod = parsed(text)["Deployment", "cx-receive"]["spec"]["template"]["spec"]
    told = variables(pod) | parsed(text)["ConfigMap", "cx-settings"]["data"]
    assert {name: told[name] for name in told if name.endswith("LISTEN")} == {
        "STREAM_ROUTER_LISTEN": "[::]:8080",
        "STREAM_ROUTER_ADMIN_LISTEN": "[::]:9464",
        "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": "[::]:9465",
    }


@needs_helm
def test_values_of_a_release_from_before_render_as_they_did() -> None:
    """`helm upgrade --reuse-values` brings none of the defaults that are newer than the release."""
    given = ("--set", "user=null,listenHost=null,metrics.serviceMonitors=null,nodeSelector=null,tolerations=null")
    rendered = parsed(subprocess.run([*COMMAND, *given], capture_output=True, text=True, check=True).stdout)
    assert {*rendered} == {*RENDERED}
    spec = rendered["StatefulSet", "cx-consume"]["spec"]["template"]["spec"]
    assert spec["securityContext"] == PODS["consume"]["securityContext"]


@pytest.mark.parametrize("program", PODS)
def test_a_pod_that_is_not_well_holds_up_no_drain_of_its_node(program: str) -> None:
    """In an outage of the stream no receiver is ready, and no node of theirs could be renewed until it is over."""
    budget = RENDERED["PodDisruptionBudget", f"cx-{program}"]["spec"]
    assert (budget["maxUnavailable"], budget.get("unhealthyPodEvictionPolicy")) == (1, "AlwaysAllow")
    template = (CHART / "templates" / "common.yaml").read_text("utf-8")
    assert "unhealthyPodEvictionPolicy" in template, "what the committed render was made by"


def secret_of(rendered: dict[tuple[str, str], Any], kind: str, program: str) -> tuple[str, str]:
    """The Secret that a pod reads, and the one in which Prometheus finds its token."""
    (container,) = rendered[kind, f"cx-{program}"]["spec"]["template"]["spec"]["containers"]
    (named,) = [one["secretRef"]["name"] for one in container["envFrom"] if "secretRef" in one]
    (endpoint,) = rendered["ServiceMonitor", f"cx-{program}"]["spec"]["endpoints"]
    return named, endpoint["authorization"]["credentials"]["name"]


def test_each_program_has_a_secret_of_its_own_where_one_is_named() -> None:
    """A consumer need not know the webhook's secrets, nor a receiver the keys of masking and audit."""
    own = [f"cx-{program}-secrets" for program in PODS]
    assert secret_of(RENDERED, "Deployment", "receive") == (own[0], own[0])
    assert secret_of(RENDERED, "StatefulSet", "consume") == (own[1], own[1])
    template = (CHART / "templates" / "_helpers.tpl").read_text("utf-8")
    assert "secretNames" in template, "what the committed render was made by"


@needs_helm
def test_where_none_of_its_own_is_named_a_program_has_the_one_of_both() -> None:
    """One alone may have its own."""
    values = ("--set", "secretNames.receive=,secretName=both")
    done = subprocess.run([*COMMAND, *values], capture_output=True, text=True, check=True)
    rendered = parsed(done.stdout)
    assert secret_of(rendered, "Deployment", "receive") == ("both", "both")
    assert secret_of(rendered, "StatefulSet", "consume") == ("cx-consume-secrets", "cx-consume-secrets")
    old = subprocess.run(
        [*COMMAND, "--set", "secretNames=null,secretName=both"], capture_output=True, text=True, check=True
    )
    assert secret_of(parsed(old.stdout), "StatefulSet", "consume") == ("both", "both"), "`upgrade --reuse-values`"
    done = subprocess.run([*COMMAND, "--set", "secretNames.receive="], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "secretName: name a Secret" in done.stderr


def test_whatever_changes_a_pod_s_variables_rolls_it() -> None:
    """`metrics.enabled` opens the admin ports by the same ConfigMap: pods that kept theirs closed are no target."""
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    given = yaml.safe_load((CHART / "everything.yaml").read_text("utf-8"))
    whole = [{**values["settings"], **given["settings"]}, given["metrics"]["enabled"], values["listenHost"]]
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))  # as Helm's toJson writes it
    for kind, program in (("Deployment", "receive"), ("StatefulSet", "consume")):
        annotations = RENDERED[kind, f"cx-{program}"]["spec"]["template"]["metadata"]["annotations"]
        assert annotations == {"checksum/settings": hashlib.sha256(text.encode()).hexdigest()}
    for name in ("receiver", "consumer"):
        template = (CHART / "templates" / f"{name}.yaml").read_text("utf-8")
        made_by = "toJson (list .Values.settings .Values.metrics.enabled .Values.listenHost)"
        assert made_by in template, "what the render was made by"


def test_a_consumer_that_ends_at_its_start_stops_the_roll() -> None:
    """It has no readiness probe, so Kubernetes would go on to the next pod before a wrong setting ended this one."""
    assert RENDERED["StatefulSet", "cx-consume"]["spec"]["minReadySeconds"] == 30
    template = (CHART / "templates" / "consumer.yaml").read_text("utf-8")
    assert "minReadySeconds: 30" in template, "what the committed render was made by"


def test_the_example_s_ingress_is_one_that_an_alb_serves() -> None:
    """Its controller's own choice is an internal balancer, a node port, which there is none, and `/`, a 404."""
    ingress = RENDERED["Ingress", "cx-receive"]
    assert ingress["spec"]["ingressClassName"] == "alb"
    told = {name.partition("/")[2]: value for name, value in ingress["metadata"]["annotations"].items()}
    assert (told["scheme"], told["target-type"], told["healthcheck-path"]) == ("internet-facing", "ip", "/readyz")


@needs_helm
def test_a_lag_that_nobody_scrapes_scales_nothing() -> None:
    """Without `metrics.enabled` the admin ports listen on loopback alone, and KEDA would wait for ever."""
    off = ("--set", "metrics.enabled=false,metrics.alerts=false")
    done = subprocess.run([*COMMAND, *off], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "consumer.keda: needs metrics.enabled" in done.stderr


def test_a_prometheus_that_picks_its_servicemonitors_by_a_label_finds_ours() -> None:
    """That of kube-prometheus-stack takes, as it comes, those alone that bear its release's name."""
    for program in PODS:
        labels = RENDERED["ServiceMonitor", f"cx-{program}"]["metadata"]["labels"]
        assert labels["release"] == "kube-prometheus-stack"
        assert labels["app.kubernetes.io/component"] == program


def test_the_alerts_are_the_rules_of_observability() -> None:
    """Word for word, but that the two on nobody ask for this release: another one would hide that it is gone."""
    rules = (ROOT / "deploy/observability/prometheus/rules.yaml").read_text("utf-8")
    assert (CHART / "rules.yaml").read_text("utf-8") == rules, "run `make docs`"
    for series, program in (("stream_router_daemon_up ==", "consume"), ("stream_router_receiver_up >", "receive")):
        name, compared = series.split()
        ours = f'{name}{{namespace="default",job="cx-{program}"}} {compared}'
        assert rules.count(f"absent({series}") == 1
        rules = rules.replace(f"absent({series}", f"absent({ours}")
    made = RENDERED["PrometheusRule", "cx"]
    assert made["spec"] == yaml.safe_load(rules), "write the committed render anew"
    assert made["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    template = (CHART / "templates" / "alerts.yaml").read_text("utf-8")
    assert '.Files.Get "rules.yaml"' in template, "what the committed render was made by"


@needs_helm
def test_the_alerts_on_headroom_are_of_what_the_stream_keeps() -> None:
    """At three quarters, a half and a quarter; of a stream that keeps 24 hours those of a week would never be quiet."""

    def thresholds(*given: str) -> list[str]:
        text = subprocess.run([*COMMAND, *given], capture_output=True, text=True, check=True).stdout
        rules = parsed(text)["PrometheusRule", "cx"]["spec"]["groups"][0]["rules"]
        return [rule["expr"].rpartition("< ")[2] for rule in rules if rule["alert"] == "StreamRouterRetention"]

    assert thresholds("--set", "metrics.retentionHours=24") == [f"{part} * 24 * 3600" for part in (0.75, "0.50", 0.25)]
    assert thresholds("--set", "metrics.retentionHours=null") == thresholds(), "`upgrade --reuse-values`"


@needs_helm
def test_alerts_are_made_where_they_are_asked_for_and_have_something_to_look_at() -> None:
    """Off by default: a cluster without the Prometheus Operator knows no PrometheusRule, and would refuse the chart."""
    off = ("--set", "metrics.alerts=false")
    rendered = parsed(subprocess.run([*COMMAND, *off], capture_output=True, text=True, check=True).stdout)
    assert {*RENDERED} - {*rendered} == {("PrometheusRule", "cx")}
    assert yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))["metrics"]["alerts"] is False
    unseen = ("--set", "metrics.enabled=false,consumer.keda.enabled=false")
    done = subprocess.run([*COMMAND, *unseen], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "metrics.alerts: needs metrics.enabled" in done.stderr


def test_every_variable_is_a_setting() -> None:
    """A name that no program knows would end it with 78."""
    given = {*variables(PODS["receive"]), *variables(PODS["consume"]), *RENDERED["ConfigMap", "cx-settings"]["data"]}
    assert {name for name in given if name.startswith("STREAM_ROUTER_")} <= names()


def test_a_consumer_keeps_its_name_and_its_volume_and_scales_on_our_lag() -> None:
    """Its worker is the pod's name; KEDA asks for the age of the oldest unsettled event, up to the number of shards."""
    names = PODS["consume"]["containers"][0]["env"]
    assert {
        "name": "STREAM_ROUTER_WORKER",
        "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
    } in names
    (claim,) = RENDERED["StatefulSet", "cx-consume"]["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "state"
    scaled = RENDERED["ScaledObject", "cx-consume"]["spec"]
    assert scaled["maxReplicaCount"] == 8
    query = scaled["triggers"][0]["metadata"]["query"]
    # As the Prometheus Operator labels what a ServiceMonitor names: another release's lag is none of ours.
    assert query == 'max(stream_router_oldest_unsettled_age_seconds{namespace="default",job="cx-consume"})'
    assert "replicas" not in RENDERED["StatefulSet", "cx-consume"]["spec"], "two would set the number"


def test_a_lag_that_is_not_known_takes_no_consumer_away() -> None:
    """KEDA takes a query without an answer for 0, and its own `cooldownPeriod` is for the way to 0 pods alone."""
    scaled = RENDERED["ScaledObject", "cx-consume"]["spec"]
    assert scaled["triggers"][0]["metadata"].get("ignoreNullValues") == "false"
    assert "cooldownPeriod" not in scaled
    behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior == {"scaleDown": {"stabilizationWindowSeconds": 600}}
    template = (CHART / "templates" / "consumer.yaml").read_text("utf-8")
    assert "ignoreNullValues" in template, "what the committed render was made by"
