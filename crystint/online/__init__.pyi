from .settings import AnalysisSettings as AnalysisSettings
