from .demo_step import FILES as FILES
from .demo_step import Demo as Demo
from .demo_step import Recall as Recall
from .demo_step import recall as recall
from .demo_step import report as report
from .demo_step import run as run
