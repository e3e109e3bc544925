"""`python -m gelora`, and with it `accelerate launch -m gelora`: the command line."""

import sys

from gelora.cli import main

sys.exit(main())
