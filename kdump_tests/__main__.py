"""``python -m kdump_tests`` is ``kdump-verify``."""

import sys

from kdump_tests.cli import main

sys.exit(main())
