from .comparison import Comparison as Comparison
from .frame_sums import measure as measure
from .run import compare as compare
from .shells import SHELL_DTYPE as SHELL_DTYPE
from .shells import Shells as Shells
