#!/usr/bin/env bash
# By name: the functions' packages as they are shipped (fat LTO, stripped), and their sizes zipped.
set -euo pipefail
DUNLIN_SHIPPED=1 bash .ci/sam.sh
