"""`python -m fapo.cli`, where no `fapo` script is on PATH."""

from fapo.cli.main import main

main()
