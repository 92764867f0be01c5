"""`python -m bench`: the benchmark of `make bench`. The one over a fleet is `python -m bench.fleet`."""

import sys

from bench.preview import main

sys.exit(main())
