"""Pictures that are none."""

from __future__ import annotations

from fakes.hostile_manifests.kit import Case, beside, bomb_png, fifo, link, png, product, sparse

IMAGES = [
    Case("image is a pipe", product(images={"front": "pipe"}), "there is no file 'pipe'", fifo("pipe")),
    Case(
        "image is a link to a pipe",
        product(images={"front": "a.png"}),
        "there is no file 'a.png'",
        lambda folder: (fifo("pipe")(folder), link("a.png", "pipe")(folder)),
    ),
    Case("image of zeros", product(images={"front": "/dev/zero"}), "there is no file '/dev/zero'"),
    Case("image of chance", product(images={"front": "/dev/random"}), "there is no file '/dev/random'"),
    Case("image of memory", product(images={"front": "/proc/self/mem"}), "can't be read"),
    Case("image of a page map", product(images={"front": "/proc/self/pagemap"}), "is larger than 64 MiB"),
    Case("image is a folder", product(images={"front": "."}), "there is no file '.'"),
    Case(
        "image of nothing", product(images={"front": "a.png"}), "is no PNG, JPEG or WebP picture", beside("a.png", "")
    ),
    Case(
        "image of one byte",
        product(images={"front": "a.png"}),
        "is no PNG, JPEG or WebP picture",
        beside("a.png", "\x89"),
    ),
    Case("huge image", product(images={"front": "a.png"}), "is larger than 64 MiB", sparse("a.png", 2**40)),
    Case(
        "image that is a page",
        product(images={"front": "a.png"}),
        "is no PNG, JPEG or WebP picture",
        beside("a.png", "<html></html>"),
    ),
    Case(
        "image that is a drawing",
        product(images={"front": "a.png"}),
        "is no PNG, JPEG or WebP picture",
        beside("a.png", "<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ),
    Case(
        "image that is PostScript",
        product(images={"front": "a.png"}),
        "is no PNG, JPEG or WebP picture",
        beside("a.png", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    ),
    Case(
        "half an image", product(images={"front": "a.png"}), "is damaged: it ends early", beside("a.png", png()[:-20])
    ),
    Case(
        "image of too many pixels",
        product(images={"front": "a.png"}),
        "has too many pixels",
        beside("a.png", bomb_png(30_000)),
    ),
    Case(
        "image of far too many pixels",
        product(images={"front": "a.png"}),
        "has too many pixels",
        beside("a.png", bomb_png(2**31 - 1)),
    ),
    Case(
        "image of no pixels",
        product(images={"front": "a.png"}),
        "is no PNG, JPEG or WebP picture",
        beside("a.png", bomb_png(0)),
    ),
    Case("image at a file address", product(images={"front": "file:///etc/passwd"}), "can't be fetched by a gateway"),
    Case("image at a data address", product(images={"front": "data://text/plain,a"}), "can't be fetched by a gateway"),
    Case("image with a NUL", product(images={"front": "a\0.png"}), "there is no file"),
    Case("image of a long name", product(images={"front": "a" * 2000}), "there is no file"),
    Case(
        "image of too long a name",
        lambda: product(images={"front": "a" * 2001}),
        "has 2,001 characters; the most is 2,000",
    ),
    Case("image with control signs", product(images={"front": "a\x1b[2J.png"}), "there is no file 'a\\x1b[2J.png'"),
]
