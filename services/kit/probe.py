"""``python -m kit.probe URL``: exit status 0 when the address answers well. For container health checks."""

from __future__ import annotations

import sys

import httpx

_TIMEOUT_SECONDS = 5.0


def main(url: str) -> int:
    """Ask once; say why not on standard error."""
    try:
        response = httpx.get(url, timeout=_TIMEOUT_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        sys.stderr.write(f"{url}: {error}\n")
        return 1
    if response.is_success:
        return 0
    sys.stderr.write(f"{url}: {response.status_code} {response.text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
