"""Reconstruction error: the mean squared error of the images that a decoder makes of an image's own codes.

    E = mean_i 1/(c h w) |x_i - x^_i|^2,    x^ = decoder(mean of encoder(x))

It says how much of an image the codes keep. Beside it stands the error of one picture for all, the mean image
that codes without information can reach at best, and the share of that which is explained:

    R^2 = 1 - E / (mean_i 1/(c h w) |x_i - x_mean|^2)

    symbol   here      shape            meaning
    x        images    (n, c, h, w)     pixels in [0, 1]
    x^       again     (n, c, h, w)     decoded from the posterior means: no noise

Deviations: papers report the training loss instead, a cross-entropy or a sum of squares over pixels, of
sampled codes; those have other units in each paper and do not compare.

Traps:

- Low is good, and it says nothing about disentanglement: a stronger penalty on the codes raises it.
- Small objects on a plain ground weigh little: an image without its sprite has an error of its few pixels.
- Images of another size have another error, since small ones lose detail.
"""

import numpy as np

from disbench.metrics.arrays import Floats
from disbench.metrics.registry import Score, metric


@metric(
    kind="reconstruction",
    paper="no paper",
    default="mse",
    presets={"mse": {}},
    higher_is_better=False,
)
def reconstruction(images: Floats, again: Floats, *, preset: str = "mse") -> Score:
    """Mean squared error per pixel, in [0, 1], of images decoded from their own codes.

    Args:
        images: (n, c, h, w) in [0, 1].
        again: (n, c, h, w), what the decoder makes of their codes.

    Examples:
        One of four pixels is off by one half in each image; and one picture for all:

        >>> import numpy as np
        >>> from disbench.metrics import reconstruction
        >>> images = np.zeros((2, 1, 2, 2))
        >>> images[1] = 1
        >>> again = images.copy()
        >>> again[:, 0, 0, 0] = 0.5
        >>> reconstruction(images, again).score
        0.0625
        >>> reconstruction(images, 0 * images + 0.5).parts["explained"]
        0.0
    """
    error = np.square(images - again).mean(axis=(1, 2, 3))  # (n,)
    mean_image = float(np.square(images - images.mean(axis=0)).mean())
    # the mean of equal images may differ from them in its last digit
    differ = bool((images != images[:1]).any())
    notes = () if differ else ("all images are equal, so there is no share to explain",)
    return Score(
        float(error.mean()),
        parts={
            "mean_image": mean_image,
            "explained": 1 - float(error.mean()) / mean_image if differ else 0.0,
            "worst": float(error.max()),
        },
        warnings=notes,
    )
