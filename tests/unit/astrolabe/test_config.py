from __future__ import annotations

import pytest

from astrolabe import Config, ConfigurationError, Service


def test_arguments_come_before_the_environment_and_that_before_the_defaults() -> None:
    environment = {"ASTROLABE_PLANNER_URL": "http://env:1/", "ASTROLABE_CODETREE_URL": "https://env:2"}
    assert dict(Config.resolve(environment={}).urls) == {
        Service.PLANNER: "http://127.0.0.1:8001",
        Service.CODETREE: "http://127.0.0.1:8002",
    }
    config = Config.resolve(codetree_url="http://given:3/base/", environment=environment)
    assert dict(config.urls) == {Service.PLANNER: "http://env:1", Service.CODETREE: "http://given:3/base"}


def test_an_empty_setting_is_none() -> None:
    environment = {"ASTROLABE_PLANNER_URL": "", "ASTROLABE_API_KEY": ""}
    config = Config.resolve(environment=environment)
    assert config.urls[Service.PLANNER] == "http://127.0.0.1:8001"
    assert config.api_key is None


@pytest.mark.parametrize("url", ["localhost:8001", "ftp://host", "http://", "http://host:port", "http://[::1"])
def test_an_address_that_is_none_is_refused_with_the_setting_to_correct(url: str) -> None:
    with pytest.raises(ConfigurationError, match="ASTROLABE_PLANNER_URL"):
        Config.resolve(planner_url=url, environment={})


def test_the_key_is_in_no_representation_and_no_error() -> None:
    assert "secret" not in repr(Config.resolve(api_key="astro_secret", environment={}))
    with pytest.raises(ConfigurationError) as caught:
        Config.resolve(api_key="astro_secret\n", environment={})
    assert "secret" not in str(caught.value)
