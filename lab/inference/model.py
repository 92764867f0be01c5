"""What the lab serves as `yolov9-spatial`: a Python model for Triton with the catalogue's tensors, and no YOLO.

It computes on the image that it is given, in YOLO's layout: the means of blocks of 8, 16 and 32 pixels, per channel,
make 80 x 80, 40 x 40 and 20 x 20 places; each place has its box (centre and size, in pixels) and 80 scores, of which
score k is the logistic function of the place's brightness, weighed by channel with cos(k), cos(2 k) and cos(3 k).
The weights are made up, so it finds nothing; but another image gives another answer, in the right places.
"""

from __future__ import annotations

from typing import Any

import numpy as np  # type: ignore[import-not-found, unused-ignore]
import triton_python_backend_utils as triton  # type: ignore[import-not-found, unused-ignore]

_SIDE = 640
_STRIDES = (8, 16, 32)
_CLASSES = 80
_WEIGHTS = np.cos(np.outer(np.arange(_CLASSES), [1, 2, 3])).astype(np.float32)


def detect(image: Any) -> Any:
    """``image``: float32 [3, 640, 640]. Returns float32 [84, 8400]: x, y, width, height, 80 scores of each place."""
    return np.concatenate([_places(image, stride) for stride in _STRIDES], axis=1)


def _places(image: Any, stride: int) -> Any:
    cells = _SIDE // stride
    means = image.reshape(3, cells, stride, cells, stride).mean(axis=(2, 4)).reshape(3, -1)
    rows, columns = np.divmod(np.arange(cells * cells), cells)
    size = np.full_like(rows, stride)
    boxes = np.stack([(columns + 0.5) * stride, (rows + 0.5) * stride, size, size])
    scores = 1 / (1 + np.exp(-(_WEIGHTS @ means)))
    return np.concatenate([boxes, scores]).astype(np.float32)


class TritonPythonModel:
    """What Triton's Python backend asks for, by this name."""

    def execute(self, requests: Any) -> list[Any]:
        """One answer for each request."""
        return [
            triton.InferenceResponse([triton.Tensor("output", detect(image)[np.newaxis])])
            for (image,) in (triton.get_input_tensor_by_name(request, "input").as_numpy() for request in requests)
        ]
