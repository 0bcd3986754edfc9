"""`python -m netdiffuse`."""

from netdiffuse.cli import main

main()
