from .evidence import evidence as evidence
from .index import Indexed as Indexed
from .index import index_spots as index_spots
from .known_cell import KnownCell as KnownCell
from .refinement import RefinedLattices as RefinedLattices
from .spots import IndexSpots as IndexSpots
from .spots import detector_of_geometry as detector_of_geometry
from .step_functions import index_files as index_files
