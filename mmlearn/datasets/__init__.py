"""Data sets: a loader, a data card and an embedded stand-in for each."""

from mmlearn.datasets.base import MultimodalDataset, Split, grouped_split
from mmlearn.datasets.leaks import Leak, Leaks, leaks
from mmlearn.datasets.own.loaders import from_csv, from_folder
from mmlearn.datasets.real.chest_xray import chest_xray_notes
from mmlearn.datasets.real.cifar10 import cifar10_captions
from mmlearn.datasets.real.covid import covid_cxr
from mmlearn.datasets.real.emoji import emoji
from mmlearn.datasets.real.hydraulic import hydraulic_rig
from mmlearn.datasets.real.occupancy import occupancy
from mmlearn.datasets.real.watch import watch_imu
from mmlearn.datasets.simulated.interactions import Interactions, interactions
from mmlearn.datasets.simulated.machines.fleet import Fleet
from mmlearn.datasets.simulated.machines.life import Degradation, Lives, machine_life
from mmlearn.datasets.simulated.machines.machine import machine
from mmlearn.datasets.simulated.machines.rotating import Bearing, envelope_spectrum
from mmlearn.datasets.simulated.notes import notes_limit, notes_posterior
from mmlearn.datasets.windows import Aligned, align, standardized, windows

__all__ = [
    "Aligned",
    "Bearing",
    "Degradation",
    "Fleet",
    "Interactions",
    "Leak",
    "Leaks",
    "Lives",
    "MultimodalDataset",
    "Split",
    "align",
    "chest_xray_notes",
    "cifar10_captions",
    "covid_cxr",
    "emoji",
    "envelope_spectrum",
    "from_csv",
    "from_folder",
    "grouped_split",
    "hydraulic_rig",
    "interactions",
    "leaks",
    "machine",
    "machine_life",
    "notes_limit",
    "notes_posterior",
    "occupancy",
    "standardized",
    "watch_imu",
    "windows",
]


def __dir__() -> list[str]:
    return __all__  # what completion shows
