"""/docs shows the schema without the internet, and without a key."""

from __future__ import annotations

import re

from tests.support.gated import ask, gated_app


async def test_all_that_the_page_loads_is_on_the_service_and_open(database_url: str, redis_url: str) -> None:
    async with gated_app(database_url, redis_url) as app:
        page = await ask(app, None, "/docs")
        loaded = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page.text)
        assets = {path: await ask(app, None, path) for path in loaded}
        refused = await ask(app, None, "/docs/assets/../../owner")
    assert "/openapi.json" in page.text
    assert not re.findall(r"https?://", page.text)
    assert {path.rpartition("/")[2] for path in assets} == {"swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"}
    assert all(asset.status_code == 200 and asset.content for asset in assets.values())
    assert refused.status_code in {401, 404}
