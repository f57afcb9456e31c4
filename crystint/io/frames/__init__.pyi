from .sequence import Frames as Frames
from .sequence import FrameSource as FrameSource
from .sequence import open_frames as open_frames
