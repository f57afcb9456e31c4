from .faults import Faults as Faults
from .result import Result as Result
from .results_message import Notice as Notice
from .results_message import ResultsBatch as ResultsBatch
from .service import Service as Service
from .settings import AnalysisSettings as AnalysisSettings
from .simulation import Simulator as Simulator
from .subscription import Subscription as Subscription
