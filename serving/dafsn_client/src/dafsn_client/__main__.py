"""`python -m dafsn_client`, the command `dafsn-client`."""

import sys

from dafsn_client.command.main import main

sys.exit(main())
