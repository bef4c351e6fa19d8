"""The maker core: books, queue positions, fills and quoting rules for K lanes in one pass, in numba.

Pure: numpy and numba only. What it knows of the world comes in as arrays; what happened goes out as records.
"""
