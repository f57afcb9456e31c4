from .table import CBCTable as CBCTable
