"""``python guest.zip NURSERY SETTINGS``: the numbers of two descriptors."""

from __future__ import annotations

import sys

from sandbox.guest.template import main

main(int(sys.argv[1]), int(sys.argv[2]))
