"""`python -m mixio` is the `mixio` command."""

from mixio.cli import main

main()
