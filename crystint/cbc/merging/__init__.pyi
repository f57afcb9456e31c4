from .merging import export_sfac as export_sfac
from .merging import merged_sfac as merged_sfac
