"""Three-way merge of pipeline snapshots: two changes of one base, put together."""

from __future__ import annotations

from dataclasses import dataclass

from merge3 import Merge3

from fapo.store.variants import Snapshot


@dataclass(frozen=True, slots=True)
class Merged:
    """`snapshot` has both changes, but for `conflicts`: paths where it has ours alone."""

    snapshot: dict[str, bytes]
    conflicts: tuple[str, ...]


def merge(base: Snapshot, ours: Snapshot, theirs: Snapshot) -> Merged:
    """Make the change from `base` to `theirs` in `ours`, file by file and line by line."""
    merged: dict[str, bytes] = {}
    conflicts = []
    for path in sorted({*base, *ours, *theirs}):
        old, our, their = base.get(path), ours.get(path), theirs.get(path)
        chosen = our
        if our == old:
            chosen = their
        elif their not in (old, our):
            chosen = _lines(old, our, their)
            if chosen is None:
                conflicts.append(path)
                chosen = our
        if chosen is not None:
            merged[path] = chosen
    return Merged(merged, tuple(conflicts))


def _lines(old: bytes | None, our: bytes | None, their: bytes | None) -> bytes | None:
    """Both changes of one file, or None where they overlap or are no changes of lines."""
    if our is None or their is None or b"\0" in our + their:
        return None
    base, ours, theirs = ((side or b"").splitlines(keepends=True) for side in (old, our, their))
    regions = list(Merge3(base, ours, theirs).merge_groups())
    if any(region[0] == "conflict" for region in regions):
        return None
    return b"".join(line for region in regions for line in region[1])
