"""`python3 -m espnet_ext VERB`."""

from espnet_ext.cli import main

main()
