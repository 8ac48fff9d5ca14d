"""`python -m fapo.standin`: serves the stand-ins on loopback until standard input closes."""

from fapo.standin.server import main

main()
