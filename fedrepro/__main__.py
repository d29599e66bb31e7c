"""`python -m fedrepro`: the command line."""

from benchmark.cli import main

main()
