"""Check that Python imports Headwater's own packages, not a user's modules of the same names."""

from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("models", "operators", "state")


def hiding(root: Path) -> str | None:
    """The line for a user whose file hides one of the packages, or None.

    Args:
        root: Directory in which the packages are.
    """
    for name in PACKAGES:
        spec = find_spec(name)
        places = [] if spec is None else [*(spec.submodule_search_locations or ())]
        found = spec.origin if spec is not None and spec.origin else ", ".join(places)
        if Path(found) != root / name / "__init__.py":
            return (
                f"Python must import {name!r} from {root}; got {found or 'nothing'}: "
                "rename that file, or start Headwater in another directory"
            )
    return None
