"The command line as a module: python -m slm_nb, or torchrun --nproc_per_node=8 -m slm_nb train ..."

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
