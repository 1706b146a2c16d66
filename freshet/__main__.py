"""`python -m freshet` is `freshet`."""

import sys

# `-m` puts the working directory first on the path. It goes last: no file there stands in for a
# library's module, and modules beside an app's file are checked for that before they are imported.
if not sys.flags.safe_path:
    sys.path.append(sys.path.pop(0))

from freshet.cli.main import main  # after the path is set

main()
