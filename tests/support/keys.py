"""The keys that the processes of a test have."""

from adapters.keyring import Keyring
from settings import SAMPLE_DATA_SECRET

KEYRING = Keyring([SAMPLE_DATA_SECRET])
