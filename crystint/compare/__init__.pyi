from .comparison import Comparison as Comparison
from .frame_sums import measure as measure
from .reflections import ReflectionAudit as ReflectionAudit
from .reflections import Verdict as Verdict
from .reflections import verdicts as verdicts
from .run import compare as compare
from .shells import SHELL_DTYPE as SHELL_DTYPE
from .shells import Shells as Shells
