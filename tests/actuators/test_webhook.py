"""The webhook against a scripted receiver."""

import hashlib
import hmac
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from actuators.exchange import Exchange, HttpConfig, NotSent
from actuators.webhook import Webhook
from trimtab.domain.codec import from_plain
from trimtab.domain.policy import ActionKind
from trimtab.ports import SubmissionOutcome

pytestmark = pytest.mark.anyio


@pytest.fixture
async def make(scripted: Any, clock: Any) -> AsyncIterator[Callable[..., Webhook]]:
    made = []

    def build(explain: Any = None, **settings: Any) -> Webhook:
        config = Webhook.Config(url=f"{scripted.url}/hook", **settings)
        made.append(Webhook("pager", config, clock, explain))
        return made[-1]

    yield build
    for actuator in made:
        await actuator.close()


async def test_people_get_all_that_they_need(scripted: Any, make: Any, make_action: Any) -> None:
    scripted.on("POST", "/hook", 204)
    action = make_action(ActionKind.HAND_OVER, text="call the owner")
    hook = make(lambda _: {"symptom": "process-gone"}, console_url="http://console.invalid/")
    submission = await hook.submit(action)
    assert submission.outcome is SubmissionOutcome.DONE
    assert submission.operation.succeeded
    [post] = scripted.posts()
    assert post.headers["idempotency-key"] == action.id
    assert post.headers["content-type"] == "application/json"
    assert "trimtab-signature" not in post.headers
    body = post.json
    assert from_plain(body.pop("action")) == action
    assert body.pop("sent_at").endswith("Z")
    assert body == {
        "format": 1,
        "id": action.id,
        "kind": "hand_over",
        "target": "provider/vnfc/fw-0",
        "incident_id": "incident-1",
        "decision_id": "decision-1",
        "attempt": 1,
        "parameters": {"text": "call the owner"},
        "evidence": {"symptom": "process-gone"},
        "console_url": "http://console.invalid/decisions/decision-1",
    }


async def test_a_receiver_can_check_who_sent_it(
    scripted: Any, make: Any, make_action: Any, tmp_path: Path
) -> None:
    scripted.on("POST", "/hook", 200)
    (tmp_path / "key").write_text("k3y\n")
    hook = make(signature_secret_file=str(tmp_path / "key"))
    await hook.submit(make_action(ActionKind.NOTIFY))
    [post] = scripted.posts()
    digest = hmac.new(b"k3y", post.body, hashlib.sha256).hexdigest()
    assert post.headers["trimtab-signature"] == f"sha256={digest}"


async def test_a_message_is_never_sent_unsigned_for_want_of_the_key(
    scripted: Any, make: Any, make_action: Any, tmp_path: Path
) -> None:
    hook = make(signature_secret_file=str(tmp_path / "absent"))
    submission = await hook.submit(make_action(ActionKind.NOTIFY))
    assert submission.outcome is SubmissionOutcome.REFUSED
    assert scripted.asked == []


async def test_it_only_tells(scripted: Any, make: Any, make_action: Any) -> None:
    submission = await make().submit(make_action(ActionKind.HEAL))
    assert submission.outcome is SubmissionOutcome.FAILED
    assert scripted.asked == []


async def test_a_receiver_that_can_be_asked_is_asked(
    scripted: Any, make: Any, make_action: Any
) -> None:
    action = make_action(ActionKind.NOTIFY, identifier="a/1")
    hook = make(status_url=f"{scripted.url}/hook/{{id}}")
    assert (await hook.find(action, 0)).asked
    assert (await hook.find(action, 0)).operation is None
    scripted.on("GET", "/hook/a%2F1", 500).on("GET", "/hook/a%2F1", 200)
    assert not (await hook.find(action, 0)).asked
    found = await hook.find(action, 0)
    assert found.operation is not None
    assert found.operation.succeeded


async def test_a_receiver_that_can_not_be_asked_leaves_doubt(make: Any, make_action: Any) -> None:
    found = await make().find(make_action(ActionKind.NOTIFY), 0)
    assert not found.asked


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "mailto:noc"},
        {"status_url": "http://receiver.invalid/status"},
        {"signature_secret_file": "a", "signature_secret_env": "b"},
        {"console_url": "console"},
    ],
)
def test_a_config_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Webhook.Config.model_validate({"url": "http://receiver.invalid", **settings})


async def test_a_plain_request_first_does_not_make_it_trust_anybody_later(
    scripted: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def trust(self: Exchange) -> Any:
        asked.append(self)
        return ssl.create_default_context()

    monkeypatch.setattr(Exchange, "_trust", trust)
    scripted.on("GET", "/one", 200)
    exchange = Exchange(HttpConfig(), clock)
    assert (await exchange.request("GET", f"{scripted.url}/one")).status == 200
    assert not asked
    with pytest.raises(NotSent):
        await exchange.request("GET", "https://127.0.0.1:1/one")
    assert asked == [exchange]
    await exchange.close()
