from .faults import Faults as Faults
from .settings import AnalysisSettings as AnalysisSettings
from .simulation import Simulator as Simulator
