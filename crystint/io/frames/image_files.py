"""Which file an image is in, as experiment lists of DIALS and streams of CrystFEL name it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ImageFiles", "source_of"]


class ImageFiles:
    """Frame numbers, names and sources of the images of an experiment list of DIALS."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.imagesets: Sequence[dict[str, Any]] = content.get("imageset", [])
        self.order: dict[str, int] = {}
        for imageset in self.imagesets:
            for name in imageset.get("images") or ():
                self.order.setdefault(name, len(self.order))

    def of(
        self, entry: dict[str, Any], number: int, images: range | None
    ) -> tuple[NDArray[np.int64], list[str], list[str]]:
        """Frames, names and sources of one experiment; `images` are the image numbers of its scan."""
        which = entry.get("imageset")
        imageset = self.imagesets[which] if which is not None and which < len(self.imagesets) else {}
        files, indices = imageset.get("images") or [], imageset.get("single_file_indices") or []
        folder, template = os.path.split(imageset.get("template") or "")
        if images is None:
            name = os.path.basename(files[0]) if files else template or f"experiment {number}"
            several = bool(indices) and (len(self.order) == 1 or indices[0] > 0)
            if not files:
                return (
                    np.array([number]),
                    [name],
                    [source_of("" if "#" in template else os.path.join(folder, template))],
                )
            frame = indices[0] if several else self.order[files[0]]
            return (
                np.array([frame]),
                [f"{name}//{indices[0]}" if several else name],
                [source_of(files[0], indices[0] if indices else None)],
            )
        frames = np.array(images) - min(1, images.start)
        holes = re.search(r"#+", template)
        if holes:
            names = [
                f"{template[: holes.start()]}{image:0{len(holes[0])}d}{template[holes.end() :]}" for image in images
            ]
            return frames, names, [source_of(os.path.join(folder, name)) for name in names]
        if len(files) == len(images) and len(files) > 1:
            return frames, [os.path.basename(name) for name in files], [source_of(name) for name in files]
        name = template or (os.path.basename(files[0]) if files else f"experiment {number}")
        whole = os.path.join(folder, template) if template else files[0] if files else ""
        return frames, [f"{name}//{frame}" for frame in frames], [source_of(whole, int(frame)) for frame in frames]


def source_of(path: str, number: int | str | None = None) -> str:
    """A file as `Experiment.source` has it: without a double slash but that before the number; "" stays so."""
    if not path:
        return ""
    plain = re.sub("/+", "/", os.path.normpath(path))
    return plain if number is None else f"{plain}//{number}"
