"""`python -m benchmark.pipeline STAGE [TASK]`: what the stages of dvc.yaml call."""

import sys

from benchmark.pipeline.stages import main

sys.exit(main(sys.argv[1:]))
