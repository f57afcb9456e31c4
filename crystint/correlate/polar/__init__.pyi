from .polar import METHODS as METHODS
from .polar import ORIGINS as ORIGINS
from .polar import PolarGrid as PolarGrid
from .polar import PolarImage as PolarImage
from .polar import PolarTransform as PolarTransform
from .polar import polar_image as polar_image
from .polar import smooth_size as smooth_size
