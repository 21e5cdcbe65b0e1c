"""The data sets' files: where each comes from, and its checksums."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Source:
    """A data file that is not part of the repository.

    Attributes:
        name: What the data set is called here.
        shared_file: File name below `$MMLEARN_DATA`.
        shared_sha256: Its checksum.
        url: Where the original is downloaded from; `""` if no checksum of it is known,
            so that it is never downloaded.
        sha256: Checksum of the download.
        size: Size of the download in bytes.
        cached_files: Where the download may already lie, below `cache_dir()`; the first
            is where it is put.
        stand_in: What is used when the data cannot be had; `""` for nothing.
        md5: Checksum of the download where its publisher states no SHA-256. It finds
            damage, not malice.
        origin: Where a reader finds a file that is not downloaded.
        notebooks: Numbers of the notebooks that use it.
    """

    name: str
    shared_file: str
    shared_sha256: str
    url: str
    sha256: str
    size: int
    cached_files: tuple[str, ...]
    stand_in: str
    md5: str = ""
    origin: str = ""
    notebooks: tuple[str, ...] = ()

    @property
    def checksum(self) -> str:
        """What the download is verified by: `"sha256:..."` or `"md5:..."`."""
        return f"sha256:{self.sha256}" if self.sha256 else f"md5:{self.md5}"


_CIFAR10 = Source(
    name="cifar10",
    shared_file="cifar10.npz",
    shared_sha256="bb29a99317db6153ff197ce61b473e7702a841947706afea553d8d2e0ba0b580",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    size=170_498_071,
    cached_files=(
        "datasets/cifar-10-batches-py-target_archive",
        "datasets/cifar-10-batches-py.tar.gz",
    ),
    stand_in="emoji of the same ten classes",
    notebooks=("00", "01", "02", "03", "12"),
)

_HYDRAULIC_RIG = Source(
    name="hydraulic_rig",
    shared_file="hydraulic_1hz.npz",
    shared_sha256="12cc7dc7b0161ae570b03d193872cc2703b686bd755ddf8621d6905cdc572490",
    url="https://archive.ics.uci.edu/static/public/447/condition+monitoring+of+hydraulic+systems.zip",
    sha256="24128aad2ee45eea7e6b63ebbd9992cdf25d0483a2cebefbfc13bc69079af1f2",
    size=76_601_704,
    cached_files=("mmlearn/hydraulic_rig.zip",),
    stand_in="a simulated rig",
    notebooks=("01", "05"),
)

# The shared file is rebuilt from copies: the same pictures in another order.
_PNEUMONIAMNIST = Source(
    name="pneumoniamnist",
    shared_file="pneumoniamnist.npz",
    shared_sha256="894d69a682023928bc3aeb84a25bbd647992600f53fffe1b503c9eb543eead80",
    url="https://zenodo.org/records/10519652/files/pneumoniamnist.npz?download=1",
    sha256="",
    size=4_200_000,
    cached_files=("mmlearn/pneumoniamnist.npz",),
    stand_in="drawn pictures of chests",
    md5="28209eda62fecd6e6a2d98b1501bb15f",
    notebooks=("04",),
)

_COVID_CXR = Source(
    name="covid_cxr",
    shared_file="covid_cxr.npz",
    shared_sha256="662572bd55807439071080837f02b7d6c0313c0271c5fee41b1e3c7ca710eeb0",
    url="",
    sha256="662572bd55807439071080837f02b7d6c0313c0271c5fee41b1e3c7ca710eeb0",
    size=1_597_853,
    cached_files=("mmlearn/covid_cxr.npz",),
    stand_in="",
    origin="https://github.com/ieee8023/covid-chestxray-dataset",
    notebooks=("04",),
)

_OCCUPANCY = Source(
    name="occupancy",
    shared_file="occupancy.npz",
    shared_sha256="6dd22202696f3f52115d8d8222b732432e4bc84812d271b9e0e9150ab509a918",
    url="",
    sha256="6dd22202696f3f52115d8d8222b732432e4bc84812d271b9e0e9150ab509a918",
    size=189_798,
    cached_files=("mmlearn/occupancy.npz",),
    stand_in="a simulated office",
    origin="https://archive.ics.uci.edu/dataset/357/occupancy+detection",
)

DATA_SETS: dict[str, Source] = {
    "cifar10": _CIFAR10,
    # All 60,000 pictures; the shared file is a JPEG copy, not bit-identical.
    "cifar10_full": replace(
        _CIFAR10,
        name="cifar10_full",
        notebooks=(),
        shared_file="cifar10_jpeg_full.npz",
        shared_sha256=(
            "ef25a6cf560ef85ae03a12f757d5d60a9e1a9395bceb14dd564f02e1f0cbd0a1"
        ),
    ),
    "hydraulic_rig": _HYDRAULIC_RIG,
    "pneumoniamnist": _PNEUMONIAMNIST,
    "covid_cxr": _COVID_CXR,
    "occupancy": _OCCUPANCY,
}
