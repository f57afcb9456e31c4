from .files import Execution as Execution
from .files import Outcome as Outcome
from .files import Part as Part
from .files import Settings as Settings
from .files import densify_file as densify_file
from .files import find_peaks as find_peaks
from .files import sparsify as sparsify
from .files import sum_regions as sum_regions
