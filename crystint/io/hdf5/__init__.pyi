from .files import LEVEL as LEVEL
from .files import PACKED as PACKED
from .files import create_hdf5 as create_hdf5
from .files import group as group
from .files import open_hdf5 as open_hdf5
from .files import packed as packed
from .files import process as process
from .files import put as put
