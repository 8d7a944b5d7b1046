"""Data: from files on disk to a checked table, a split that can be proved, and decoded pixels."""

import pandas as pd

# Where pyarrow is installed pandas keeps text in Arrow's arrays, which refuse the name of a file that is not UTF-8.
pd.set_option("mode.string_storage", "python")
