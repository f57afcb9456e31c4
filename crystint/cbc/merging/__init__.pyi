from .merging import merged_intensities as merged_intensities
