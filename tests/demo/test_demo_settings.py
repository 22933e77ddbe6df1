"""What the application's environment means."""

import pytest

from demo.app.settings import BrokerSettings, JobSettings


def test_an_empty_environment_is_a_good_version_with_defaults() -> None:
    assert JobSettings.from_env({}) == JobSettings()
    assert BrokerSettings.from_env({}) == BrokerSettings()


def test_the_downward_api_may_give_an_empty_string() -> None:
    settings = JobSettings.from_env({"CRM_REVISION": "", "CRM_ROLE": ""})
    assert (settings.revision, settings.role) == ("unknown", "unknown")


@pytest.mark.parametrize(("text", "crash"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_crash(text: str, crash: bool) -> None:
    assert JobSettings.from_env({"CRASH": text}).crash is crash


@pytest.mark.parametrize(
    ("name", "text", "remedy"),
    [
        ("JOB_SECONDS", "fast", "set it to one or leave it out for 0.2"),
        ("FAIL_EVERY", "-1", "set it to 0 or more"),
        ("JOB_SECONDS", "nan", "set it to 0 or more"),
        ("JOB_MAX_RETRIES", "inf", "set it to 0 or more"),
    ],
)
def test_a_wrong_number_is_named_with_its_remedy(name: str, text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy) as error:
        JobSettings.from_env({name: text})
    assert name in str(error.value)
