"""`python -m freshet` is `freshet`."""

from freshet.cli import main

main()
