from .faults import Faults as Faults
from .receiver import Receiver as Receiver
from .service import Service as Service
from .settings import AnalysisSettings as AnalysisSettings
from .simulation import Simulator as Simulator
