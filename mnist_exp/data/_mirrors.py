"""Where published datasets can be downloaded, and what their files must be."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mnist_exp.data._dataset import Part
from mnist_exp.data._idx import FILES, Digest
from mnist_exp.errors import UserError

MIRRORS_VARIABLE = "MNIST_EXP_MIRRORS"


@dataclass(frozen=True)
class Archive:
    """A zip that holds the files, where they are not published one by one."""

    name: str
    digest: Digest
    member: str  # how a file is called in it, but for its name


@dataclass(frozen=True)
class Published:
    """IDX files that anybody may download: what they must be, and who has them."""

    name: str
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    digests: Mapping[str, Digest]
    files: Mapping[Part, tuple[str, str]] = field(default_factory=lambda: FILES)
    archive: Archive | None = None
    first_label: int = 0
    transposed: bool = False


# sha256 of the content, since mirrors compress differently.
MNIST = Published(
    "mnist",
    tuple("0123456789"),
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
    {
        "train-images-idx3-ubyte": Digest(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte": Digest(
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte": Digest(
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte": Digest(
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
)
# sha256 of the .gz: the digests that public loaders list beside the md5 of Zalando's README
# (torchvision checks those).
FASHION_MNIST = Published(
    "fashion_mnist",
    (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    {
        "train-images-idx3-ubyte": Digest(
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", of_gz=True
        ),
        "train-labels-idx1-ubyte": Digest(
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", of_gz=True
        ),
        "t10k-images-idx3-ubyte": Digest(
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", of_gz=True
        ),
        "t10k-labels-idx1-ubyte": Digest(
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", of_gz=True
        ),
    },
)
# sha256 of the .gz from tensorflow-datasets (url_checksums/kmnist.txt); torchvision's mnist.py has
# the same address and the md5 of the same files.
KMNIST = Published(
    "kmnist",
    ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    {
        "train-images-idx3-ubyte": Digest(
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4", of_gz=True
        ),
        "train-labels-idx1-ubyte": Digest(
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17", of_gz=True
        ),
        "t10k-images-idx3-ubyte": Digest(
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5", of_gz=True
        ),
        "t10k-labels-idx1-ubyte": Digest(
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c", of_gz=True
        ),
    },
)
# Addresses and md5 of the .gz from torchvision's mnist.py; the layout of the labels (eight columns,
# the digit first) and of the test part from the README of facebookresearch/qmnist.
QMNIST = Published(
    "qmnist",
    tuple("0123456789"),
    ("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",),
    {
        "qmnist-train-images-idx3-ubyte": Digest("ed72d4157d28c017586c42bc6afe6370", of_gz=True),
        "qmnist-train-labels-idx2-int": Digest("0058f8dd561b90ffdd0f734c6a30e5e4", of_gz=True),
        "qmnist-test-images-idx3-ubyte": Digest("1394631089c404de565df7b7aeaf9412", of_gz=True),
        "qmnist-test-labels-idx2-int": Digest("5b5b05890a5e13444e108efe57b788aa", of_gz=True),
    },
    {
        "train": ("qmnist-train-images-idx3-ubyte", "qmnist-train-labels-idx2-int"),
        "test": ("qmnist-test-images-idx3-ubyte", "qmnist-test-labels-idx2-int"),
    },
)
QMNIST_PARTS = {
    "test": slice(None),
    "test10k": slice(10_000),  # MNIST's own test images, rebuilt
    "test50k": slice(10_000, None),  # those that MNIST never published
}
_MERGED = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"  # c, i ... look like C, I ...
# The classes as in the mapping files of the dataset (Cohen, Afshar, Tapson and van Schaik 2017).
EMNIST_CLASSES = {
    "digits": "0123456789",
    "mnist": "0123456789",
    "letters": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "balanced": _MERGED,
    "bymerge": _MERGED,
    "byclass": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
}
# The address from torchvision's mnist.py and its documentation, the sha256 of the zip (561,753,746
# bytes) from tensorflow-datasets (url_checksums/emnist.txt).
_EMNIST_MIRRORS = (
    "https://biometrics.nist.gov/cs_links/EMNIST/",
    "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
)
_EMNIST_ZIP = Archive(
    "gzip.zip",
    Digest("fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"),
    "gzip/{}",
)


def emnist_files(split: str) -> Published:
    """Describe one of EMNIST's six datasets; UserError for any other name."""
    if split not in EMNIST_CLASSES:
        raise UserError(f"dataset.split={split}: must be one of {', '.join(EMNIST_CLASSES)}")
    start = f"emnist-{split}"
    return Published(
        "emnist",
        tuple(EMNIST_CLASSES[split]),
        _EMNIST_MIRRORS,
        {},
        {
            "train": (f"{start}-train-images-idx3-ubyte", f"{start}-train-labels-idx1-ubyte"),
            "test": (f"{start}-test-images-idx3-ubyte", f"{start}-test-labels-idx1-ubyte"),
        },
        _EMNIST_ZIP,
        first_label=int(split == "letters"),
    )
